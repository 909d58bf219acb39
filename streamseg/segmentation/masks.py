"""Masks, thresholded last: only for the chosen rows, only inside their boxes, at the size asked for.

The logits of a row are carried from the prototype grid to the output's pixels by one sub-pixel bilinear
transform and compared with zero there. The cost grows with the area of what is chosen, never with
K × H × W; and no second resampling makes edges jagged.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.instances import CORRECTION_MARGIN, Instances, Rows
from streamseg.structures.message import CropMask

__all__ = ["instance_masks"]

_EMPTY = np.zeros((0, 0), dtype=np.bool_)

_ROUNDING = 1e-6
"""Slack, in cells or pixels, for centres that lie on an edge except for float rounding."""


_MANY_PIXELS = 150**2
"""From here on matrix products are faster than OpenCV's transform."""


class _Axis(NamedTuple):
    """One axis of the grid, seen from the output: pixel p samples the grid at index `start + step * p`."""

    num_pixels: int
    """Output pixels along the axis."""
    pixel: float
    """Source-image pixels per output pixel."""
    cell: float
    """Source-image pixels per grid cell."""
    step: float
    """Grid cells per output pixel."""
    start: float
    """Grid index (the centre of cell i is at i) of output pixel 0."""
    first: int
    """First cell whose centre lies in the picture."""
    last: int
    """Last cell whose centre lies in the picture."""
    whole: tuple[int, int] | None
    """(output pixels per cell, first output pixel of cell 0) where both are whole numbers."""

    def span(self, low: float, high: float) -> tuple[int, int]:
        """Output pixels [begin, end) whose centres lie between two box edges in source-image pixels.

        The outermost half cell of the picture has no logits of its own (it repeats the cell's centre),
        so that nothing could tell whether an object ends in it: an edge that lies there goes to the
        border, and masks reach it.
        """
        extent = self.num_pixels * self.pixel
        low = 0.0 if low <= self.cell / 2 else low
        high = extent if high >= extent - self.cell / 2 else high
        begin, end = (math.ceil(edge / self.pixel - 0.5 - _ROUNDING) for edge in (low, high))
        return max(begin, 0), min(end, self.num_pixels)

    def window(self, begin: int, end: int) -> tuple[int, int]:
        """Grid cells [first, stop) that output pixels [begin, end) are interpolated from.

        Cells in the letterbox padding are left out: what the network says there is about no picture,
        and would pull masks away from the border. The outermost cells of the picture are repeated instead.
        """
        low = math.floor(self.start + self.step * begin)
        high = math.floor(self.start + self.step * (end - 1)) + 1
        return min(max(low, self.first), self.last), min(max(high, self.first), self.last) + 1


def instance_masks(
    instances: Instances,
    rows: Rows | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> list[CropMask]:
    """The masks of the chosen rows.

    A pixel belongs to a mask where its centre lies in the row's box (with corrections: not further beyond it than
    they reach) and the bilinearly interpolated logits are above zero. Box edges within half a grid cell of the
    picture's border go to the border.

    Args:
        instances: objects of one picture.
        rows: which rows, in which order; None for all.
        size: (H, W) of the masks, for smaller (or larger) ones than the picture; None for the picture's.

    Returns:
        One mask per chosen row, in order. A mask without any pixel has a crop of shape (0, 0) at (0, 0).
    """
    chosen = instances if rows is None else instances[rows]
    height, width = chosen.image_size if size is None else size
    if height < 1 or width < 1:
        raise ValueError(f"size must be (H, W) of at least one pixel each, got {size}")
    if not len(chosen):
        return []
    image_height, image_width = chosen.image_size
    place = chosen.grid_to_image
    x_axis = _axis(image_width, width, chosen.mask_logits.shape[2], place.scale_x, place.offset_x)
    y_axis = _axis(image_height, height, chosen.mask_logits.shape[1], place.scale_y, place.offset_y)
    logits = chosen.mask_logits.numpy(force=True).astype(np.float32, copy=False)
    boxes = chosen.boxes.tolist()
    if chosen.corrections is None:
        return [_crop_mask(row, None, box, x_axis, y_axis) for row, box in zip(logits, boxes, strict=True)]
    corrections = chosen.corrections.numpy(force=True).astype(np.float32, copy=False)
    return [
        _crop_mask(row, added, box, x_axis, y_axis) for row, added, box in zip(logits, corrections, boxes, strict=True)
    ]


def _axis(num_image_pixels: int, num_pixels: int, num_cells: int, cell: float, offset: float) -> _Axis:
    pixel = num_image_pixels / num_pixels
    low, high = -offset / cell, (num_image_pixels - offset) / cell  # the picture's borders, in cells
    first = min(max(math.ceil(low - 0.5 - _ROUNDING), 0), num_cells - 1)
    last = min(max(math.floor(high - 0.5 + _ROUNDING), 0), num_cells - 1)
    if last < first:  # a picture thinner than a cell, between two centres
        first = last = min(max(math.floor((low + high) / 2), 0), num_cells - 1)
    factor, edge = cell / pixel, offset / pixel
    whole = max(abs(factor - round(factor)) * num_cells, abs(edge - round(edge))) < _ROUNDING and factor > 0.5
    return _Axis(
        num_pixels=num_pixels,
        pixel=pixel,
        cell=cell,
        step=pixel / cell,
        start=(pixel / 2 - offset) / cell - 0.5,
        first=first,
        last=last,
        whole=(round(factor), round(edge)) if whole else None,
    )


def _crop_mask(
    logits: npt.NDArray[np.float32],
    corrections: npt.NDArray[np.float32] | None,
    box: list[float],
    x_axis: _Axis,
    y_axis: _Axis,
) -> CropMask:
    x0, y0, x1, y1 = box
    margin_x, margin_y = (0.0, 0.0) if corrections is None else (_margin(x0, x1), _margin(y0, y1))
    left, right = x_axis.span(x0 - margin_x, x1 + margin_x)
    top, bottom = y_axis.span(y0 - margin_y, y1 + margin_y)
    if right <= left or bottom <= top:
        return CropMask(_EMPTY, 0, 0)
    sampled = _sample(logits, x_axis, y_axis, (left, right), (top, bottom))
    if corrections is None:
        crop = sampled > 0
    else:
        along_x = _raster_steps(x_axis, left, x0, x1, corrections.shape[1])
        along_y = _raster_steps(y_axis, top, y0, y1, corrections.shape[0])
        # Not a sum above zero: a pass over all pixels less.
        crop = sampled > _warp(-corrections, along_x, along_y, (right - left, bottom - top))
    return CropMask(crop, left, top) if crop.any() else CropMask(_EMPTY, 0, 0)


def _margin(low: float, high: float) -> float:
    return CORRECTION_MARGIN * (high - low)


def _raster_steps(axis: _Axis, first: int, low: float, high: float, raster: int) -> tuple[float, float]:
    """Cells of the raster of corrections per output pixel, and where on it output pixel `first` lies."""
    cells = raster / max((1 + 2 * CORRECTION_MARGIN) * (high - low), _ROUNDING)  # per source-image pixel
    return cells * axis.pixel, cells * ((first + 0.5) * axis.pixel - low + _margin(low, high)) - 0.5


def _sample(
    logits: npt.NDArray[np.float32],
    x_axis: _Axis,
    y_axis: _Axis,
    columns: tuple[int, int],
    rows: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """Logits (rows, columns) at the centres of output pixels, bilinear, from grid logits (Mh, Mw)."""
    left, right = x_axis.window(*columns)
    top, bottom = y_axis.window(*rows)
    window = logits[top:bottom, left:right]
    if x_axis.whole and y_axis.whole:
        # The same transform, several times faster, for the usual video sizes (8 pixels per cell at 720p,
        # 12 at 1080p): the whole window enlarged, then cut. Cells at the border that the picture's edge
        # cuts through leave some pixels outside the window; those take the general way.
        factor_x, factor_y = x_axis.whole[0], y_axis.whole[0]
        x = columns[0] - x_axis.whole[1] - left * factor_x
        y = rows[0] - y_axis.whole[1] - top * factor_y
        size = ((right - left) * factor_x, (bottom - top) * factor_y)
        width, height = columns[1] - columns[0], rows[1] - rows[0]
        if x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]:
            enlarged = cv2.resize(window, size, interpolation=cv2.INTER_LINEAR)
            return enlarged[y : y + height, x : x + width]  # type: ignore[return-value]
    return _warp(
        window,
        (x_axis.step, x_axis.start + x_axis.step * columns[0] - left),
        (y_axis.step, y_axis.start + y_axis.step * rows[0] - top),
        (columns[1] - columns[0], rows[1] - rows[0]),
    )


def _warp(
    values: npt.NDArray[np.float32], along_x: tuple[float, float], along_y: tuple[float, float], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Values at steps and starts (in cells, x and y), bilinear, for `size` (width, height) pixels."""
    if size[0] * size[1] >= _MANY_PIXELS:
        # The same as two matrix products: less time where pixels are many, more where they are few.
        rows = _weights(*along_y, size[1], values.shape[0])
        columns = _weights(*along_x, size[0], values.shape[1])
        return np.asarray((rows @ values) @ columns.T, dtype=np.float32)
    matrix = np.array([[along_x[0], 0.0, along_x[1]], [0.0, along_y[0], along_y[1]]])
    # OpenCV 5 computes this in float throughout; earlier releases rounded positions to 1/32 of a cell.
    return cv2.warpAffine(  # type: ignore[return-value]
        values, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def _weights(step: float, start: float, num_pixels: int, num_cells: int) -> npt.NDArray[np.float32]:
    """How much of each cell each pixel takes: (pixels, cells), rows of one or two neighbours that sum to 1."""
    places = np.clip(start + step * np.arange(num_pixels), 0, num_cells - 1)
    left = places.astype(np.intp)  # not negative, so that truncation is floor
    share = places - left
    weights = np.zeros((num_pixels, num_cells), dtype=np.float32)
    pixels = np.arange(num_pixels)
    weights[pixels, left] = 1 - share
    weights[pixels, np.minimum(left + 1, num_cells - 1)] += share
    return weights
