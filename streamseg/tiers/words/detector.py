"""The interface of open-vocabulary detectors: an image and texts in, boxes with texts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamseg.structures.arrays import Float32Array, ImageArray, IndexArray
from streamseg.structures.mask import CropMask

__all__ = ["Detections", "Detector"]


@dataclass(frozen=True, eq=False)
class Detections:
    """N detections in one image, best first; N may be 0."""

    boxes: Float32Array
    """Boxes (N, 4) xyxy in continuous pixels of the image, within it."""
    scores: Float32Array
    """Scores (N,), 0..1."""
    texts: IndexArray
    """Position (N,) of the detected text among the given ones."""
    masks: tuple[CropMask, ...] | None = None
    """Mask of each detection at the size of the image; None if the detector finds boxes only."""

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def of(
        cls,
        boxes: Float32Array,
        scores: Float32Array,
        texts: IndexArray,
        image_size: tuple[int, int],
        masks: Sequence[CropMask] | None = None,
    ) -> Detections:
        """Return detections by descending score, with boxes clipped to an image of `image_size` (H, W).

        Detections without an area in the image, and those with values that are not finite, are removed.
        """
        height, width = image_size
        clipped = boxes.reshape(-1, 4).clip(0, np.array([width, height] * 2, np.float32)).astype(np.float32)
        is_valid = np.isfinite(boxes.reshape(-1, 4)).all(axis=1) & np.isfinite(scores)
        is_valid &= (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
        kept = np.flatnonzero(is_valid)
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        return cls(
            clipped[kept],
            scores[kept].astype(np.float32),
            texts[kept].astype(np.int64),
            None if masks is None else tuple(masks[one] for one in kept.tolist()),
        )

    @classmethod
    def none(cls) -> Detections:
        """Return no detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class Detector(Protocol):
    """An open-vocabulary detector."""

    @property
    def default_threshold(self) -> float:
        """Minimum score of a detection, if none is configured, 0..1."""

    def unknown(self, texts: Sequence[str]) -> str | None:
        """Return why some of the texts cannot be detected, in one line that says what can; None if all can be."""

    def detect(self, image: ImageArray, texts: Sequence[str], threshold: float) -> Detections:
        """Detect texts in an image.

        Args:
            image: uint8 (H, W, 3) RGB.
            texts: T distinct texts, T >= 1; those that are unknown are not found.
            threshold: minimum score of a detection, 0..1.
        """
