"""The shapes of a batch on the device, and the capacities of its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.segmentation.device.slab import Slab
from streamseg.structures.arrays import Float64Array
from streamseg.structures.nv12 import YuvColours

__all__ = ["ROWS", "BatchShape", "capacity", "crop_pixels_for", "padded_boxes", "rows_for"]

ROWS: Final = (64, 128, 300)
"""Capacities for objects per image. Work and memory grow with the capacity, and each one is a graph of its own."""

MIN_EXPECTED: Final = 64
"""Smallest capacity for expected boxes per image, even if there are none: tracks come and go in live video, and a new
shape would have to be captured then."""

MIN_PROMPTED: Final = 16
"""Smallest capacity for prompted boxes per image, unless there are none."""

CHANGES_PER_ROW: Final = 240
"""Capacity for changes between background and object, per row: a mask has two per row of its pixels."""

CROPS: Final = (1, 2, 4)
"""Capacities for the pixels of an image's crops, in images: objects overlap, each within its box."""

MAX_CROP_PIXELS: Final = 1 << 24
"""Upper limit of that capacity, which determines the memory for temporary results."""


@dataclass(frozen=True)
class BatchShape:
    """The shapes that determine all others; a CUDA graph serves one of them."""

    place: Letterbox
    """Size of the images, and their placement in the network's input."""
    batch: int
    """Number of images."""
    rows: int
    """Capacity for objects per image."""
    crop_pixels: int
    """Capacity for the pixels of an image's crops."""
    prompted: int = 0
    """Capacity for prompted boxes per image."""
    expected: int = 0
    """Capacity for expected boxes per image."""
    refines: bool = False
    """Whether the refiner runs."""
    colours: YuvColours | None = None
    """Colours of images in NV12 that are on the device already; None for RGB from the host."""

    @property
    def grid_size(self) -> tuple[int, int]:
        """Size (Mh, Mw) of mask logits and prototypes."""
        height, width = self.place.input_size
        return height // PROTOTYPE_STRIDE, width // PROTOTYPE_STRIDE

    @property
    def changes(self) -> int:
        """Capacity for changes between background and object in an image's crops."""
        return CHANGES_PER_ROW * max(self.rows, ROWS[0])

    def inputs(self) -> Slab:
        """Return the layout of the step's input."""
        parts = {"prompted": self.prompted, "expected": self.expected}
        images = [("images", torch.uint8, (self.batch, *self.place.image_size, 3))] if self.colours is None else []
        return Slab.of([*images, *((name, torch.float32, (self.batch, count, 4)) for name, count in parts.items())])

    def planes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the step's other inputs, which are copied on the device; none for RGB from the host."""
        if self.colours is None:
            return {}
        height, width = self.place.image_size
        return {
            "luma": (self.batch, height, width),
            "chroma": (self.batch, -(-height // 2), -(-width // 2), 2),
        }


def rows_for(count: int, most: int) -> int:
    """Return the capacity for `count` objects per image and some more, at most `most`."""
    return min(next((rows for rows in ROWS if count <= 0.8 * rows), most), most)


def crop_pixels_for(count: int, image_size: tuple[int, int]) -> int:
    """Return the capacity for crops of `count` pixels together and some more, in an image of (H, W)."""
    whole = image_size[0] * image_size[1]
    return min(next((images for images in CROPS if count <= 0.8 * images * whole), CROPS[-1]) * whole, MAX_CROP_PIXELS)


def capacity(boxes: Sequence[Float64Array], *, prompted: bool) -> int:
    """Return the capacity for the longest of these lists of prompted or expected boxes, a power of two."""
    longest = max(map(len, boxes), default=0)
    if prompted and not longest:
        return 0
    return max(MIN_PROMPTED if prompted else MIN_EXPECTED, 1 << max(longest - 1, 0).bit_length())


def padded_boxes(boxes: Sequence[Float64Array], count: int) -> Tensor:
    """Return boxes (n, 4) of each image as float32 (B, count, 4), padded with zeros."""
    result = np.zeros((len(boxes), count, 4), dtype=np.float32)
    for row, one in zip(result, boxes, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(result)
