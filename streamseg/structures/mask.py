"""Binary masks of single objects, and the space that they are defined in. Requires only NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamseg.structures.arrays import BoolArray, IndexArray, MaskArray

__all__ = ["CropMask", "MaskSpace"]

ROUNDING = 1e-6
"""Tolerance in cells: a pixel whose centre lies on the border of two cells belongs to the later one, despite
floating-point rounding."""


class MaskSpace(NamedTuple):
    """Transform from the pixels of a mask to the image it belongs to."""

    size: tuple[int, int]
    """Size (H, W) of the mask space."""
    image_size: tuple[int, int]
    """Size (H, W) of the source image."""
    to_image: tuple[float, float, float, float]
    """(scale_x, scale_y, offset_x, offset_y): x_image = scale_x * x_mask + offset_x, continuous coordinates."""

    @classmethod
    def of(cls, image_size: tuple[int, int], size: tuple[int, int] | None = None) -> MaskSpace:
        """Return the space of masks of `size` (H, W) that cover an image of (H, W); None for the size of the image."""
        if size is None:
            return cls(image_size, image_size, (1.0, 1.0, 0.0, 0.0))
        return cls(size, image_size, (image_size[1] / size[1], image_size[0] / size[0], 0.0, 0.0))


@dataclass(frozen=True, eq=False, repr=False)
class CropMask:
    """A binary mask, stored only inside its integer box.

    A mask with a known space can be rendered at any size: `mask()` is the mask at the size of its image.
    """

    crop: MaskArray
    """Mask inside the box, bool (h, w); the outside is background. Shape (0, 0) if the mask is empty."""
    x: int
    """Left column of the crop in the mask space."""
    y: int
    """Top row of the crop in the mask space."""
    space: MaskSpace | None = None
    """Transform to the source image; None if unknown. Masks of messages, instances and annotations have one."""

    @classmethod
    def of(cls, mask: MaskArray) -> CropMask:
        """Crop a mask (H, W) of a whole image to its tight box; an empty mask has a crop of shape (0, 0)."""
        space = MaskSpace.of((mask.shape[0], mask.shape[1]))
        down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(down):
            return cls(np.zeros((0, 0), dtype=np.bool_), 0, 0, space)
        x, y = int(across[0]), int(down[0])
        return cls(mask[y : int(down[-1]) + 1, x : int(across[-1]) + 1].copy(), x, y, space)

    def __repr__(self) -> str:
        height, width = self.crop_size
        canvas = f" of {self.space.size[1]}x{self.space.size[0]}" if self.space is not None else ""
        return f"CropMask({self.area} px in {width}x{height} at ({self.x}, {self.y}){canvas})"

    def __call__(self, size: tuple[int, int] | None = None) -> MaskArray:
        """Return the mask over the whole image, bool (H, W), with the image scaled to any `size` (H, W).

        Without `size`, the result has the size of the image.

        Nearest neighbour: a pixel is inside if the mask contains its centre. At the size of the mask space, the
        result is the mask itself, pixel by pixel. An empty mask is all background.

        Raises:
            ValueError: the mask space is unknown, or a size is negative.
        """
        if size is None:
            size = self._known_space().image_size
        if min(size) < 0:
            raise ValueError(f"a size (H, W) must be at least 0 pixels per side, got {size}")
        canvas = np.zeros(size, dtype=np.bool_)
        self.paint(canvas)
        return canvas

    def paint(self, canvas: BoolArray) -> None:
        """Write the result of `mask(size)` into a background canvas, bool (H, W).

        Raises:
            ValueError: the mask space is unknown.
        """
        space = self._known_space()
        scale_x, scale_y, offset_x, offset_y = space.to_image
        crop_height, crop_width = self.crop.shape
        columns, x = _cells(canvas.shape[1], space.image_size[1], scale_x, offset_x, self.x, crop_width)
        rows, y = _cells(canvas.shape[0], space.image_size[0], scale_y, offset_y, self.y, crop_height)
        if not len(rows) or not len(columns):
            return
        # At the mask's own scale, which is the usual case, no indexing is needed.
        is_plain = _is_all(rows, crop_height) and _is_all(columns, crop_width)
        inside = self.crop if is_plain else self.crop[rows][:, columns]
        canvas[y : y + len(rows), x : x + len(columns)] = inside

    @property
    def centroid(self) -> tuple[float, float] | None:
        """Centroid (x, y) of the mask in continuous pixels of the source image; None if the mask is empty.

        The centroid of a ring lies outside the ring.

        Raises:
            ValueError: the mask space is unknown.
        """
        scale_x, scale_y, offset_x, offset_y = self._known_space().to_image
        by_column: IndexArray = np.sum(self.crop, axis=0, dtype=np.int64)
        by_row: IndexArray = np.sum(self.crop, axis=1, dtype=np.int64)
        num_pixels = int(by_row.sum())
        if not num_pixels:
            return None
        x = self.x + 0.5 + float(by_column @ np.arange(len(by_column))) / num_pixels
        y = self.y + 0.5 + float(by_row @ np.arange(len(by_row))) / num_pixels
        return scale_x * x + offset_x, scale_y * y + offset_y

    @property
    def crop_size(self) -> tuple[int, int]:
        """Size (h, w) of the crop."""
        height, width = self.crop.shape
        return height, width

    @property
    def crop_box(self) -> tuple[float, float, float, float]:
        """Box xyxy of the crop in continuous pixels of the source image; tight for masks made by `of`.

        Raises:
            ValueError: the mask space is unknown.
        """
        scale_x, scale_y, offset_x, offset_y = self._known_space().to_image
        height, width = self.crop_size
        return (
            scale_x * self.x + offset_x,
            scale_y * self.y + offset_y,
            scale_x * (self.x + width) + offset_x,
            scale_y * (self.y + height) + offset_y,
        )

    @property
    def area(self) -> int:
        """Number of pixels inside the mask."""
        return int(np.count_nonzero(self.crop))

    def full(self, size: tuple[int, int]) -> MaskArray:
        """Return the mask on a canvas of `size` (H, W); raise ValueError if the crop does not fit on it."""
        height, width = size
        crop_height, crop_width = self.crop.shape
        if self.x < 0 or self.y < 0 or self.x + crop_width > width or self.y + crop_height > height:
            raise ValueError(
                f"a crop of {crop_width}x{crop_height} at ({self.x}, {self.y}) lies outside {width}x{height}"
            )
        canvas = np.zeros(size, dtype=np.bool_)
        canvas[self.y : self.y + crop_height, self.x : self.x + crop_width] = self.crop
        return canvas

    def _known_space(self) -> MaskSpace:
        if self.space is None:
            raise ValueError("this mask has no mask space and cannot be placed in an image; use `full` instead")
        return self.space


def _cells(
    num_pixels: int, image_length: int, scale: float, offset: float, start: int, length: int
) -> tuple[npt.NDArray[np.intp], int]:
    """Map pixels to cells of the crop along one axis.

    Returns:
        The cell (n,) of each pixel that shows one, and the first such pixel.
    """
    if not num_pixels or not length or not image_length:
        return np.zeros(0, dtype=np.intp), 0
    if not scale > 0:
        raise ValueError(f"the scale of a mask space must be above 0, got {scale:g}")
    pixel = image_length / num_pixels
    # Consider only pixels near the crop, plus one on each side to allow for rounding.
    first = floor(min(max((start * scale + offset) / pixel - 1, 0), num_pixels))
    end = floor(min(max(((start + length) * scale + offset) / pixel + 2, 0), num_pixels))
    cells = ((np.arange(first, end) + 0.5) * pixel - offset) / scale + (ROUNDING - start)
    bounds = np.searchsorted(cells, (0, length))
    return cells[bounds[0] : bounds[1]].astype(np.intp), first + int(bounds[0])


def _is_all(cells: npt.NDArray[np.intp], length: int) -> bool:
    """Return whether non-decreasing `cells` in 0..length-1 contain every cell once."""
    return len(cells) == length and cells[0] == 0 and bool((cells[1:] > cells[:-1]).all())
