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

from streamseg.segmentation.interpolation import along_columns, along_rows, taps
from streamseg.structures.instances import CORRECTION_MARGIN, Instances, Rows
from streamseg.structures.message import CropMask

__all__ = ["instance_masks"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Logits = npt.NDArray[np.float32]

_NO_MASK = CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)

_ROUNDING = 1e-6
"""Slack, in cells or pixels, for centres that lie on an edge except for float rounding."""

_MANY_PIXELS = 150**2
"""From here on matrix products are faster than OpenCV's transform of a single mask."""

_AT_ONCE = 32
"""Corrected masks whose weights are in memory together."""


class _Range(NamedTuple):
    """Output pixels [begin, end) of one axis, and the grid cells [first, stop) that they are interpolated from."""

    begin: int
    end: int
    first: int
    stop: int


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

    def spans(self, low: Floats, high: Floats) -> tuple[Indices, Indices]:
        """Output pixels [begin, end) (K,) whose centres lie between two edges of boxes (K,) in source-image pixels.

        The outermost half cell of the picture has no logits of its own (it repeats the cell's centre),
        so that nothing could tell whether an object ends in it: an edge that lies there goes to the
        border, and masks reach it.
        """
        extent = self.num_pixels * self.pixel
        low = np.where(low <= self.cell / 2, 0.0, low)
        high = np.where(high >= extent - self.cell / 2, extent, high)
        begin, end = (np.ceil(edge / self.pixel - 0.5 - _ROUNDING).astype(np.intp) for edge in (low, high))
        return np.maximum(begin, 0), np.minimum(end, self.num_pixels)

    def windows(self, begin: Indices, end: Indices) -> tuple[Indices, Indices]:
        """Grid cells [first, stop) (K,) that output pixels [begin, end) are interpolated from.

        Cells in the letterbox padding are left out: what the network says there is about no picture,
        and would pull masks away from the border. The outermost cells of the picture are repeated instead.
        """
        low = np.floor(self.start + self.step * begin).astype(np.intp)
        high = np.floor(self.start + self.step * (end - 1)).astype(np.intp) + 1
        return np.clip(low, self.first, self.last), np.clip(high, self.first, self.last) + 1

    def ranges(self, low: Floats, high: Floats) -> list[_Range]:
        """The pixels between edges (K,), each with its window."""
        return self.windowed(*self.spans(low, high))

    def windowed(self, begin: Indices, end: Indices) -> list[_Range]:
        """Pixels [begin, end) (K,), each with its window."""
        return [_Range(*of) for of in np.stack([begin, end, *self.windows(begin, end)], axis=1).tolist()]

    def on_raster(self, begin: Indices, low: Floats, high: Floats, raster: int) -> tuple[Floats, Floats]:
        """Where pixels `begin` (K,) lie on `raster` cells from `low` to `high` (K,), and the step to the next one.

        The edges are in source-image pixels.
        """
        cells = raster / np.maximum(high - low, _ROUNDING)  # per source-image pixel
        return cells * ((begin + 0.5) * self.pixel - low) - 0.5, cells * self.pixel


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
    boxes = chosen.boxes.numpy(force=True).astype(np.float64)
    if chosen.corrections is None:
        return _plain_masks(logits, boxes, x_axis, y_axis)
    corrections = chosen.corrections.numpy(force=True).astype(np.float32, copy=False)
    parts = [slice(first, first + _AT_ONCE) for first in range(0, len(boxes), _AT_ONCE)]
    return [
        mask
        for part in parts
        for mask in _corrected_masks(logits[part], corrections[part], boxes[part], x_axis, y_axis)
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


def _plain_masks(logits: Logits, boxes: Floats, x_axis: _Axis, y_axis: _Axis) -> list[CropMask]:
    """Masks of logits (K, Mh, Mw) inside boxes (K, 4)."""
    columns = x_axis.ranges(boxes[:, 0], boxes[:, 2])
    rows = y_axis.ranges(boxes[:, 1], boxes[:, 3])
    return [
        _mask(_sample(of, x_axis, y_axis, across, down) > 0, across.begin, down.begin)
        if across.end > across.begin and down.end > down.begin
        else _NO_MASK
        for of, across, down in zip(logits, columns, rows, strict=True)
    ]


def _corrected_masks(
    logits: Logits, corrections: Logits, boxes: Floats, x_axis: _Axis, y_axis: _Axis
) -> list[CropMask]:
    """Masks of logits (K, Mh, Mw) with corrections (K, R, R) added, as far around boxes (K, 4) as they reach."""
    margins = CORRECTION_MARGIN * (boxes[:, 2:] - boxes[:, :2])
    low, high = (boxes[:, :2] - margins).T, (boxes[:, 2:] + margins).T  # (2, K) each
    left, right = x_axis.spans(low[0], high[0])
    top, bottom = y_axis.spans(low[1], high[1])
    solid = np.flatnonzero((right > left) & (bottom > top))
    left, right, top, bottom, low, high = (
        left[solid],
        right[solid],
        top[solid],
        bottom[solid],
        low[:, solid],
        high[:, solid],
    )
    columns = x_axis.windowed(left, right)
    rows = y_axis.windowed(top, bottom)
    raster = corrections.shape[1]
    along_x, along_y = x_axis.on_raster(left, low[0], high[0], raster), y_axis.on_raster(top, low[1], high[1], raster)
    starts, steps = (np.concatenate(both) for both in zip(along_x, along_y, strict=True))
    # Both axes at once: most of the time is spent on the calls.
    both_axes = taps(np.concatenate((right - left, bottom - top)), starts, steps, np.full(len(starts), raster))
    raster_x, raster_y = both_axes[: len(solid)], both_axes[len(solid) :]
    negated = -corrections[solid]
    masks = [_NO_MASK] * len(boxes)
    for place, row in enumerate(solid.tolist()):
        plain = _sample(logits[row], x_axis, y_axis, columns[place], rows[place])
        less = along_rows(raster_y[place], along_columns(negated[place], raster_x[place]))
        # Not a sum above zero: a pass over all pixels less.
        masks[row] = _mask(plain > less, int(left[place]), int(top[place]))
    return masks


def _mask(crop: npt.NDArray[np.bool_], x: int, y: int) -> CropMask:
    return CropMask(crop, x, y) if crop.any() else _NO_MASK


def _sample(logits: Logits, x_axis: _Axis, y_axis: _Axis, columns: _Range, rows: _Range) -> Logits:
    """Logits (rows, columns) at the centres of output pixels, bilinear, from grid logits (Mh, Mw)."""
    window = logits[rows.first : rows.stop, columns.first : columns.stop]
    width, height = columns.end - columns.begin, rows.end - rows.begin
    if x_axis.whole and y_axis.whole:
        # The same transform, several times faster, for the usual video sizes (8 pixels per cell at 720p,
        # 12 at 1080p): the whole window enlarged, then cut. Cells at the border that the picture's edge
        # cuts through leave some pixels outside the window; those take the general way.
        factor_x, factor_y = x_axis.whole[0], y_axis.whole[0]
        x = columns.begin - x_axis.whole[1] - columns.first * factor_x
        y = rows.begin - y_axis.whole[1] - rows.first * factor_y
        size = (window.shape[1] * factor_x, window.shape[0] * factor_y)
        if x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]:
            enlarged = cv2.resize(window, size, interpolation=cv2.INTER_LINEAR)
            return enlarged[y : y + height, x : x + width]  # type: ignore[return-value]
    starts = (
        x_axis.start + x_axis.step * columns.begin - columns.first,
        y_axis.start + y_axis.step * rows.begin - rows.first,
    )
    if width * height >= _MANY_PIXELS:
        steps, cells = np.array([x_axis.step, y_axis.step]), np.array(window.shape[::-1])
        of_x, of_y = taps(np.array([width, height]), np.array(starts), steps, cells)
        return along_columns(along_rows(of_y, window), of_x)
    matrix = np.array([[x_axis.step, 0.0, starts[0]], [0.0, y_axis.step, starts[1]]])
    # OpenCV 5 computes this in float throughout; earlier releases rounded positions to 1/32 of a cell.
    return cv2.warpAffine(  # type: ignore[return-value]
        window, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
