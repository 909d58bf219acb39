"""Bilinear resampling of the prototype grid, and of the refiner's rasters, to the pixels of an output, axis by axis.

`Axis` maps output pixels to grid cells. `Taps` are the interpolation weights of one axis; applying them is a product
with a matrix of at most two entries per row.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamseg.structures.arrays import Float32Array, Float64Array, IndexArray

__all__ = ["ROUNDING", "Axis", "Range", "Taps", "along_columns", "along_rows", "axis_of", "taps"]

ROUNDING = 1e-6
"""Slack, in cells or pixels, for centres that lie on an edge except for float rounding."""

_AT_ONCE = 2**19
"""Maximum multiplications per matrix product. From about twice as many, OpenBLAS distributes a product over threads
that wait for each other by spinning; on a busy machine, a product of 40 µs then takes 30 ms."""

_BAND = 64
"""Outputs per product if all of them would exceed the maximum; each band needs only a few of the cells."""


class Range(NamedTuple):
    """Output pixels [begin, end) along one axis, and the grid cells [first, stop) that they are interpolated from."""

    begin: int
    end: int
    first: int
    stop: int


class Axis(NamedTuple):
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
    """First cell whose centre lies in the image."""
    last: int
    """Last cell whose centre lies in the image."""
    whole: tuple[int, int] | None
    """(output pixels per cell, first output pixel of cell 0) if both are integers, else None."""

    def spans(self, low: Float64Array, high: Float64Array) -> tuple[IndexArray, IndexArray]:
        """Return the output pixels [begin, end) (K,) whose centres lie between two box edges (K,).

        The edges are in source-image pixels. The outermost half cell of the image has no logits of its own, because it
        repeats the cell's centre. Whether an object ends within it is unknown, so edges there move to the border and
        masks reach it.
        """
        extent = self.num_pixels * self.pixel
        low = np.where(low <= self.cell / 2, 0.0, low)
        high = np.where(high >= extent - self.cell / 2, extent, high)
        return np.maximum(self.pixels(low), 0), np.minimum(self.pixels(high), self.num_pixels)

    def pixels(self, edges: Float64Array) -> IndexArray:
        """Return the first output pixels whose centres lie beyond the edges, possibly outside the output.

        The edges are in source-image pixels.
        """
        return np.ceil(edges / self.pixel - 0.5 - ROUNDING).astype(np.intp)

    def windows(self, begin: IndexArray, end: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Return the grid cells [first, stop) (K,) that output pixels [begin, end) are interpolated from.

        Cells in the letterbox padding are excluded: their logits do not belong to the image, and would pull masks away
        from the border. The outermost cells of the image are repeated instead.
        """
        low = np.floor(self.start + self.step * begin).astype(np.intp)
        high = np.floor(self.start + self.step * (end - 1)).astype(np.intp) + 1
        # Not clip(), which takes twice as long for so few values.
        low, high = (np.minimum(np.maximum(cells, self.first), self.last) for cells in (low, high))
        return low, high + 1

    def ranges(self, low: Float64Array, high: Float64Array) -> list[Range]:
        """Return the pixels between edges (K,), each range with its grid cells."""
        return self.windowed(*self.spans(low, high))

    def windowed(self, begin: IndexArray, end: IndexArray) -> list[Range]:
        """Return the pixels [begin, end) (K,), each range with its grid cells."""
        limits = (begin.tolist(), end.tolist(), *(cells.tolist() for cells in self.windows(begin, end)))
        return list(map(Range._make, zip(*limits, strict=True)))

    def on_raster(
        self, begin: IndexArray, low: Float64Array, high: Float64Array, raster: int
    ) -> tuple[Float64Array, Float64Array]:
        """Return the positions of pixels `begin` (K,) on a raster, and the step from one pixel to the next.

        Both are in raster cells. The raster has `raster` cells between the edges `low` and `high` (K,), in
        source-image pixels.
        """
        cells = raster / np.maximum(high - low, ROUNDING)  # per source-image pixel
        return cells * ((begin + 0.5) * self.pixel - low) - 0.5, cells * self.pixel


def axis_of(num_image_pixels: int, num_pixels: int, num_cells: int, cell: float, offset: float) -> Axis:
    """Create an axis.

    Args:
        num_image_pixels: source-image pixels along the axis.
        num_pixels: output pixels along the axis.
        num_cells: grid cells along the axis.
        cell: source-image pixels per grid cell, the scale in `GridTransform`.
        offset: the offset in `GridTransform`, in source-image pixels.
    """
    pixel = num_image_pixels / num_pixels
    low, high = -offset / cell, (num_image_pixels - offset) / cell  # the borders of the image, in cells
    first = min(max(math.ceil(low - 0.5 - ROUNDING), 0), num_cells - 1)
    last = min(max(math.floor(high - 0.5 + ROUNDING), 0), num_cells - 1)
    if last < first:  # an image thinner than a cell, between two centres
        first = last = min(max(math.floor((low + high) / 2), 0), num_cells - 1)
    factor, edge = cell / pixel, offset / pixel
    whole = max(abs(factor - round(factor)) * num_cells, abs(edge - round(edge))) < ROUNDING and factor > 0.5
    return Axis(
        num_pixels=num_pixels,
        pixel=pixel,
        cell=cell,
        step=pixel / cell,
        start=(pixel / 2 - offset) / cell - 0.5,
        first=first,
        last=last,
        whole=(round(factor), round(edge)) if whole else None,
    )


class Taps(NamedTuple):
    """Interpolation weights of n outputs over k cells: one or two neighbouring cells each, with sum 1."""

    weights: Float32Array
    """(n, k), 0..1."""
    lower: IndexArray
    """(n,), ascending: the lower of the two neighbouring cells of each output."""


def taps(
    lengths: IndexArray,
    starts: Float64Array,
    steps: Float64Array,
    num_cells: IndexArray,
) -> list[Taps]:
    """Compute the taps of K axes at once.

    Args:
        lengths: (K,) number of outputs per axis.
        starts: (K,) position of output 0 in cells; the centre of cell i is at i.
        steps: (K,) cells from one output to the next, at least 0.
        num_cells: (K,) number of cells per axis, at least 1; values beyond the outermost centres are repeated.
    """
    axes = np.repeat(np.arange(len(lengths)), lengths)  # axis of each output
    ends = np.cumsum(lengths)
    along = np.arange(len(axes)) - (ends - lengths)[axes]
    cells = num_cells[axes]
    places = np.clip(starts[axes] + steps[axes] * along, 0, cells - 1)
    lower = np.minimum(places.astype(np.intp), np.maximum(cells - 2, 0))  # never negative, so truncation equals floor
    share = places - lower
    sizes = lengths * num_cells
    lasts = np.cumsum(sizes)
    at = (lasts - sizes)[axes] + along * cells + lower
    flat = np.zeros(int(sizes.sum()) + 1, dtype=np.float32)
    # The order matters: for an axis with one cell, the next entry belongs to another output, which overwrites it.
    flat[at + 1] = share
    flat[at] = 1 - share
    return [
        Taps(flat[last - size : last].reshape(length, -1), lower[end - length : end])
        for last, size, length, end in zip(lasts.tolist(), sizes.tolist(), lengths.tolist(), ends.tolist(), strict=True)
    ]


def along_rows(row_taps: Taps, values: Float32Array) -> Float32Array:
    """Interpolate the rows of values (k, m) to (n, m)."""
    if row_taps.weights.size * values.shape[1] <= _AT_ONCE:
        return row_taps.weights @ values
    result = np.empty((len(row_taps.weights), values.shape[1]), dtype=np.float32)
    for outputs, cells in _bands(row_taps):
        np.matmul(row_taps.weights[outputs, cells], values[cells], out=result[outputs])
    return result


def along_columns(values: Float32Array, column_taps: Taps) -> Float32Array:
    """Interpolate the columns of values (m, k) to (m, n)."""
    if column_taps.weights.size * values.shape[0] <= _AT_ONCE:
        return values @ column_taps.weights.T
    result = np.empty((values.shape[0], len(column_taps.weights)), dtype=np.float32)
    for outputs, cells in _bands(column_taps):
        np.matmul(values[:, cells], column_taps.weights[outputs, cells].T, out=result[:, outputs])
    return result


def _bands(axis_taps: Taps) -> list[tuple[slice, slice]]:
    """Split the outputs into bands, each with the cells that it is interpolated from."""
    lower = axis_taps.lower
    bands = [slice(first, min(first + _BAND, len(lower))) for first in range(0, len(lower), _BAND)]
    return [(band, slice(int(lower[band.start]), int(lower[band.stop - 1]) + 2)) for band in bands]
