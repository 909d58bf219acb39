"""Masks of boxes in one image, timed: from the whole image, or from the surroundings of each box."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.tiers.contract import BetterMask
from streamseg.tiers.quality.decoded import decoded_masks
from streamseg.tiers.quality.model import PromptableModel, Queries
from streamseg.tiers.quality.unchanged import Box

__all__ = ["BoxDecoder", "TimedMasks", "View"]

CROP_MARGIN: Final = 0.5
"""Margin of the crop around an object, as a fraction of the longer side of its box, with `view: objects`."""
WARMUP_BATCHES: Final = (1, 4)
"""Numbers of boxes whose times are measured before the first frame."""

View = Literal["frame", "objects"]
"""Input of the model: the whole `frame`, or the surroundings of each of the `objects`."""


@dataclass(frozen=True)
class TimedMasks:
    """Decoded masks, and how long they took."""

    masks: list[BetterMask]
    """One per box; it may be empty."""
    times: list[tuple[str, float, int]]
    """Stage (`encode`, or `decode` with the number of bits of the batch size), milliseconds and units."""


class BoxDecoder:
    """Decodes the masks of boxes with a promptable model; one thread calls it at a time.

    Args:
        model: the model.
        view: its input.
        clock: clock in ns, by which the times are measured.
    """

    def __init__(
        self, model: PromptableModel, *, view: View = "frame", clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._model = model
        self._view = view
        self._clock = clock

    def __call__(self, image: ImageArray, boxes: Sequence[Box]) -> TimedMasks:
        """Return one mask per box (xyxy in pixels), at the size of the image (H, W, 3)."""
        if not boxes:
            return TimedMasks([], [])
        if self._view == "frame":
            return self._decode(image, boxes)
        size = (image.shape[0], image.shape[1])
        found = TimedMasks([], [])
        for box in boxes:
            left, top, right, bottom = _crop_around(box, size)
            moved = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
            one = self._decode(np.ascontiguousarray(image[top:bottom, left:right]), [moved])
            (better,) = one.masks
            placed = CropMask(better.mask.crop, better.mask.x + left, better.mask.y + top, MaskSpace.of(size))
            found.masks.append(BetterMask(placed, better.quality))
            found.times.extend(one.times)
        return found

    def warm_up(self) -> Iterator[TimedMasks]:
        """Yield timed runs on an image of noise; the first run, which is slower, does not count."""
        image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        boxes: list[Box] = [(320.0, 180.0, 960.0, 540.0)]
        self._decode(image, boxes)
        for count in WARMUP_BATCHES:
            yield self._decode(image, boxes * count)

    def _decode(self, image: ImageArray, boxes: Sequence[Box]) -> TimedMasks:
        started = self._clock()
        embedding = self._model.encode(image)
        encoded = self._clock()
        decoded = self._model.decode(embedding, Queries.of_boxes(boxes))
        masks = decoded_masks(decoded, (image.shape[0], image.shape[1]))
        decode_ms = (self._clock() - encoded) / 1e6
        stage = f"decode{len(boxes).bit_length()}"
        return TimedMasks(masks, [("encode", (encoded - started) / 1e6, 1), (stage, decode_ms, len(boxes))])


def _crop_around(box: Box, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the crop (left, top, right, bottom) of at least one pixel around a box, within the image (H, W)."""
    height, width = image_size
    margin = CROP_MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = min(max(int(box[0] - margin), 0), width - 1), min(max(int(box[1] - margin), 0), height - 1)
    right, bottom = min(int(box[2] + margin + 1), width), min(int(box[3] + margin + 1), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)
