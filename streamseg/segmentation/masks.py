"""Instance masks, thresholded last: only for the selected rows, only inside their boxes, at the requested size.

One sub-pixel bilinear transform maps the logits of a row from the prototype grid to the output pixels, where they are
compared with zero. The cost grows with the area of the selected objects, never with K × H × W, and no second
resampling makes edges jagged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from streamseg.rle import RunMask, runs_of_columns
from streamseg.segmentation.resampling import Axis, Range, Taps, along_columns, along_rows, axis_of, taps
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array, IndexArray
from streamseg.structures.instances import CORRECTION_MARGIN, Instances, Rows
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["LARGE_CELL_PIXELS", "instance_masks", "tight_mask"]

_NO_PIXELS = np.zeros((0, 0), dtype=np.bool_)

_MANY_PIXELS = 150**2
"""Area in pixels from which matrix products are faster than OpenCV's transform of a single mask."""

_AT_ONCE = 32
"""Number of masks whose run lengths are computed together, which limits the memory."""

LARGE_CELL_PIXELS = 3
"""Width in output pixels from which a cell of corrections may be displaced by half a pixel: a sixth of a cell."""


def instance_masks(
    instances: Instances,
    rows: Rows | None = None,
    *,
    size: tuple[int, int] | None = None,
    as_pixels: bool = False,
) -> list[CropMask]:
    """Compute the masks of the selected rows.

    A pixel belongs to a mask if its centre lies in the row's box (with corrections, within their margin around it) and
    the bilinearly interpolated logits are above zero there. Box edges within half a grid cell of the image border
    move to the border. Corrections whose cells are at least three output pixels wide may be displaced by up to half a
    pixel, a sixth of a cell.

    Args:
        instances: objects of one image.
        rows: selected rows, in the order of the result; None for all.
        size: (H, W) of the masks, smaller or larger than the image; None for the size of the image.
        as_pixels: compute pixels, which all masks together keep in memory. Otherwise masks are run lengths until their
            pixels are used, which for all of them takes two to three times as long.

    Returns:
        One mask per selected row, in order, with its space. A mask without any pixel has a crop of shape (0, 0) at
        (0, 0).
    """
    # Selecting rows copies their logits.
    chosen = instances if rows is None or _are_all(rows, len(instances)) else instances[rows]
    height, width = chosen.image_size if size is None else size
    if height < 1 or width < 1:
        raise ValueError(f"size must be (H, W) of at least one pixel each, got {size}")
    if not len(chosen):
        return []
    if chosen.samples is not None and chosen.samples.pixels is not None and (height, width) == chosen.image_size:
        return chosen.samples.pixels()
    image_height, image_width = chosen.image_size
    grid = chosen.grid_to_image
    x_axis = axis_of(image_width, width, chosen.mask_logits.shape[2], grid.scale_x, grid.offset_x)
    y_axis = axis_of(image_height, height, chosen.mask_logits.shape[1], grid.scale_y, grid.offset_y)
    logits = chosen.mask_logits.numpy(force=True).astype(np.float32, copy=False)
    boxes = chosen.boxes.numpy(force=True).astype(np.float64)
    space = MaskSpace.of(chosen.image_size, (height, width))
    corrections = None
    if chosen.corrections is not None:
        corrections = chosen.corrections.numpy(force=True).astype(np.float32, copy=False)
    masks: list[CropMask] = []
    at_once = len(boxes) if as_pixels else _AT_ONCE  # pixels stay anyway, and a large array comes in large pages
    for start in range(0, len(boxes), at_once):
        part = slice(start, start + at_once)
        added = None if corrections is None else corrections[part]
        masks += _masks(logits[part], added, boxes[part], x_axis, y_axis, space, as_pixels=as_pixels)
    return masks


def tight_mask(mask: CropMask) -> CropMask:
    """Return a mask cropped to its pixels, none of them for an empty one."""
    if not mask.crop.size:
        return mask
    x, y, width, height = cv2.boundingRect(mask.crop.view(np.uint8))
    return CropMask(mask.crop[y : y + height, x : x + width].copy(), mask.x + x, mask.y + y, mask.space)


def _are_all(rows: Rows, count: int) -> bool:
    """Return whether a list of row numbers is that of all rows, in order; a list of bools is a mask instead."""
    return isinstance(rows, list) and rows == list(range(count)) and not any(isinstance(row, bool) for row in rows)


def _masks(
    logits: Float32Array,
    corrections: Float32Array | None,
    boxes: Float64Array,
    x_axis: Axis,
    y_axis: Axis,
    space: MaskSpace,
    *,
    as_pixels: bool,
) -> list[CropMask]:
    """Compute masks from logits (K, Mh, Mw) inside boxes (K, 4).

    Corrections (K, R, R) are added to the logits; the masks then extend to the margin around the boxes.
    """
    margins = 0 if corrections is None else CORRECTION_MARGIN * (boxes[:, 2:] - boxes[:, :2])
    low, high = (boxes[:, :2] - margins).T, (boxes[:, 2:] + margins).T  # (2, K), like the following arrays
    spans = x_axis.spans(low[0], high[0]), y_axis.spans(low[1], high[1])
    first, last = (np.stack(edges) for edges in zip(*spans, strict=True))
    solid = np.flatnonzero((last > first).all(axis=0))
    low, high, first, last = low[:, solid], high[:, solid], first[:, solid], last[:, solid]
    sizes = list(zip(*(last - first)[::-1].tolist(), strict=True))  # (height, width)
    # One array for all: memory of a few MB comes in large pages.
    pixels = np.empty(sum(height * width for height, width in sizes), dtype=np.uint8)
    corners, axes = first.T.tolist(), (x_axis, y_axis)
    if not as_pixels:  # everything is transposed, because runs go column by column
        logits, axes = logits.transpose(0, 2, 1), axes[::-1]
        corrections = None if corrections is None else corrections.transpose(0, 2, 1)
        low, high, first, last = low[::-1], high[::-1], first[::-1], last[::-1]
    across, down = axes[0].windowed(first[0], last[0]), axes[1].windowed(first[1], last[1])
    thresholds: Iterable[Float32Array | None] = [None] * len(solid)
    if corrections is not None:
        negated = np.negative(corrections[solid], order="C")
        thresholds = _thresholds(negated, first, last, low, high, *axes)
    crops: list[BoolArray] = []
    begin, room = 0, _Room()
    for row, columns, rows, threshold in zip(solid.tolist(), across, down, thresholds, strict=True):
        values = _sample(logits[row], *axes, columns, rows, room)
        inside = pixels[begin : begin + values.size].reshape(values.shape)
        begin += values.size
        if threshold is None or as_pixels:
            crops.append(np.greater(values, 0 if threshold is None else threshold, out=inside.view(np.bool_)))
        else:
            # Comparing with a threshold instead of adding saves a pass over all pixels. OpenCV does it in half the time
            # of NumPy, because neither array is contiguous, but its value for true is 255.
            cv2.compare(values, threshold, cv2.CMP_GT, inside)
    masks = [CropMask(_NO_PIXELS, 0, 0, space)] * len(boxes)
    if as_pixels:
        for row, crop, (x, y) in zip(solid.tolist(), crops, corners, strict=True):
            if crop.any():
                masks[row] = CropMask(crop, x, y, space)
        return masks
    for row, runs, (x, y) in zip(solid.tolist(), runs_of_columns(pixels, sizes), corners, strict=True):
        if runs.area:
            masks[row] = RunMask(runs, x, y, space)
    return masks


def _thresholds(
    negated: Float32Array,
    first: IndexArray,
    last: IndexArray,
    low: Float64Array,
    high: Float64Array,
    x_axis: Axis,
    y_axis: Axis,
) -> Iterator[Float32Array]:
    """Interpolate negated corrections (K, R, R) to output pixels [first, last) (2, K).

    The corrections span the edges `low` to `high` (2, K), in source-image pixels. Each result is valid until the next.
    """
    raster, room = negated.shape[1], _Room()
    begin, end = (np.stack([x_axis.pixels(edge[0]), y_axis.pixels(edge[1])]) for edge in (low, high))
    # Aligned to whole pixels, a raster is enlarged in one step, in half the time of two products.
    is_large = ((end - begin >= raster * LARGE_CELL_PIXELS) & (begin <= first) & (last <= end)).all(axis=0)
    small = np.flatnonzero(~is_large)
    small_taps: Iterator[tuple[Taps, Taps]] = iter(())
    if len(small):
        along_x = x_axis.on_raster(first[0, small], low[0, small], high[0, small], raster)
        along_y = y_axis.on_raster(first[1, small], low[1, small], high[1, small], raster)
        starts, steps = (np.concatenate(both) for both in zip(along_x, along_y, strict=True))
        # Compute both axes at once, because the calls take most of the time.
        both_axes = taps((last - first)[:, small].reshape(-1), starts, steps, np.full(len(starts), raster))
        small_taps = zip(both_axes[: len(small)], both_axes[len(small) :], strict=True)
    sizes, cuts = (end - begin).T.tolist(), np.concatenate([first - begin, last - begin]).T.tolist()
    for row, large, size, (left, top, right, bottom) in zip(negated, is_large.tolist(), sizes, cuts, strict=True):
        if large:
            yield room.enlarged(row, size)[top:bottom, left:right]
        else:
            x_taps, y_taps = next(small_taps)
            yield along_rows(y_taps, along_columns(row, x_taps))


class _Room:
    """Memory for one enlarged array after the other: writing to fresh memory takes longer than enlarging."""

    def __init__(self) -> None:
        self._values = np.empty(0, dtype=np.float32)

    def enlarged(self, values: Float32Array, size: tuple[int, int]) -> Float32Array:
        """Return values interpolated bilinearly to `size` (width, height); valid until the next call."""
        width, height = size
        if self._values.size < width * height:
            self._values = np.empty(width * height, dtype=np.float32)
        target = self._values[: width * height].reshape(height, width)
        cv2.resize(values, size, target, interpolation=cv2.INTER_LINEAR)
        return target


def _sample(logits: Float32Array, x_axis: Axis, y_axis: Axis, columns: Range, rows: Range, room: _Room) -> Float32Array:
    """Interpolate grid logits (Mh, Mw) bilinearly at the centres of output pixels: (rows, columns).

    The result may be in `room`.
    """
    window = logits[rows.first : rows.stop, columns.first : columns.stop]
    width, height = columns.end - columns.begin, rows.end - rows.begin
    if x_axis.whole and y_axis.whole:
        # The same transform, several times as fast, for common video sizes (8 pixels per cell at 720p, 12 at 1080p):
        # enlarge the whole window, then crop. If the image border cuts through a cell, some pixels lie outside the
        # window; such masks take the general path.
        factor_x, factor_y = x_axis.whole[0], y_axis.whole[0]
        x = columns.begin - x_axis.whole[1] - columns.first * factor_x
        y = rows.begin - y_axis.whole[1] - rows.first * factor_y
        size = (window.shape[1] * factor_x, window.shape[0] * factor_y)
        if x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]:
            return room.enlarged(window, size)[y : y + height, x : x + width]
    starts = (
        x_axis.start + x_axis.step * columns.begin - columns.first,
        y_axis.start + y_axis.step * rows.begin - rows.first,
    )
    if width * height >= _MANY_PIXELS:
        steps, cells = np.array([x_axis.step, y_axis.step]), np.array(window.shape[::-1])
        x_taps, y_taps = taps(np.array([width, height]), np.array(starts), steps, cells)
        return along_columns(along_rows(y_taps, window), x_taps)
    matrix = np.array([[x_axis.step, 0.0, starts[0]], [0.0, y_axis.step, starts[1]]])
    # OpenCV 5 computes this in float throughout; earlier releases rounded positions to 1/32 of a cell.
    return cv2.warpAffine(  # type: ignore[return-value]
        window, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
