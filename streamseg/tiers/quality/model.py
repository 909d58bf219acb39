"""The interface of promptable models: an image is encoded once, then masks are decoded per box or points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from streamseg.structures.arrays import Float32Array, ImageArray, IndexArray
from streamseg.structures.grid import GridTransform
from streamseg.tiers.quality.fits import Fit

__all__ = ["BOX_LABELS", "Decoded", "Embedding", "PromptableModel", "Queries"]

BOX_LABELS: Final = (2, 3)
"""Labels of the top left and bottom right corner of a box, as in segment-anything."""


@dataclass(frozen=True, eq=False)
class Queries:
    """N questions for one mask each: all boxes, or all points; N may be 0."""

    coords: Float32Array
    """(N, P, 2) x, y in continuous pixels of the image; the corners of a box are two points."""
    labels: IndexArray
    """(N, P): 1 foreground, 0 background; `BOX_LABELS` for the corners of a box."""

    def __post_init__(self) -> None:
        if self.coords.ndim != 3 or self.coords.shape[2:] != (2,) or self.labels.shape != self.coords.shape[:2]:
            raise ValueError(
                f"coords must be (N, P, 2) and labels (N, P), got {self.coords.shape} and {self.labels.shape}"
            )

    @classmethod
    def of_boxes(cls, boxes: Sequence[tuple[float, float, float, float]]) -> Queries:
        """Return one query per box, xyxy in continuous pixels of the image."""
        coords = np.array(boxes, dtype=np.float32).reshape(-1, 2, 2)
        return cls(coords, np.tile(np.array(BOX_LABELS, dtype=np.int64), (len(coords), 1)))

    @classmethod
    def of_points(cls, points: Float32Array) -> Queries:
        """Return one query per foreground point (N, 2)."""
        return cls(points.astype(np.float32).reshape(-1, 1, 2), np.ones((len(points), 1), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.coords)

    def __getitem__(self, part: slice) -> Queries:
        return Queries(self.coords[part], self.labels[part])

    @property
    def are_boxes(self) -> bool:
        """Whether the queries are boxes; False without any."""
        return bool(len(self)) and tuple(self.labels[0].tolist()) == BOX_LABELS


@dataclass(frozen=True, eq=False)
class Embedding:
    """An encoded image."""

    tensors: Mapping[str, Any]
    """Arrays or tensors for the decoder, by the names of its inputs."""
    fit: Fit
    """How the image fits into the input of the encoder."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The masks of N queries, M candidates each."""

    logits: Float32Array
    """(N, M, h, w) on a grid over the image; positive inside the object."""
    qualities: Float32Array
    """(N, M): predicted IoU of each candidate, about 0..1."""
    grid_to_image: GridTransform
    """Transform from the grid to the image."""


class PromptableModel(Protocol):
    """A promptable model. Not thread-safe: one thread calls it at a time."""

    @property
    def name(self) -> str:
        """Name of the model, for messages."""
        ...

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image of any size."""
        ...

    def decode(self, embedding: Embedding, queries: Queries) -> Decoded:
        """Decode the masks of N queries, 1 or more, each with one candidate or three."""
        ...
