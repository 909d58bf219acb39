"""Bilinear resampling of the prototype grid, and of the refiner's rasters, to the pixels of an output, axis by axis.

`Axis` maps output pixels to grid cells. `Taps` are the interpolation weights of one axis; applying them is a product
with a matrix of at most two entries per row.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamseg.structures.arrays import Float32Array, Float64Array, IndexArray

__all__ = ["Axis", "Range", "Taps", "along_columns", "along_rows", "axis_of", "taps"]

_ROUNDING = 1e-6
"""Slack, in cells or pixels, for centres that lie on an edge except for float rounding."""

_AT_ONCE = 2**19
"""Multiplications per product: from about twice as many on, OpenBLAS shares a product out among threads, who wait for
each other by spinning; on a busy machine a product of 40 µs then takes 30 ms."""

_BAND = 64
"""Outputs per product where all of them would be too many: they need few of the cells."""


class Range(NamedTuple):
    """Output pixels [begin, end) of one axis, and the grid cells [first, stop) that they are interpolated from."""

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
    """First cell whose centre lies in the picture."""
    last: int
    """Last cell whose centre lies in the picture."""
    whole: tuple[int, int] | None
    """(output pixels per cell, first output pixel of cell 0) where both are whole numbers."""

    def spans(self, low: Float64Array, high: Float64Array) -> tuple[IndexArray, IndexArray]:
        """Output pixels [begin, end) (K,) whose centres lie between two edges of boxes (K,) in source-image pixels.

        The outermost half cell of the picture has no logits of its own (it repeats the cell's centre),
        so that nothing could tell whether an object ends in it: an edge that lies there goes to the
        border, and masks reach it.
        """
        extent = self.num_pixels * self.pixel
        low = np.where(low <= self.cell / 2, 0.0, low)
        high = np.where(high >= extent - self.cell / 2, extent, high)
        return np.maximum(self.pixels(low), 0), np.minimum(self.pixels(high), self.num_pixels)

    def pixels(self, edges: Float64Array) -> IndexArray:
        """The first output pixels whose centres lie beyond edges (in source-image pixels); may lie outside."""
        return np.ceil(edges / self.pixel - 0.5 - _ROUNDING).astype(np.intp)

    def windows(self, begin: IndexArray, end: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Grid cells [first, stop) (K,) that output pixels [begin, end) are interpolated from.

        Cells in the letterbox padding are left out: what the network says there is about no picture,
        and would pull masks away from the border. The outermost cells of the picture are repeated instead.
        """
        low = np.floor(self.start + self.step * begin).astype(np.intp)
        high = np.floor(self.start + self.step * (end - 1)).astype(np.intp) + 1
        return np.clip(low, self.first, self.last), np.clip(high, self.first, self.last) + 1

    def ranges(self, low: Float64Array, high: Float64Array) -> list[Range]:
        """The pixels between edges (K,), each with its window."""
        return self.windowed(*self.spans(low, high))

    def windowed(self, begin: IndexArray, end: IndexArray) -> list[Range]:
        """Pixels [begin, end) (K,), each with its window."""
        return [Range(*of) for of in np.stack([begin, end, *self.windows(begin, end)], axis=1).tolist()]

    def on_raster(
        self, begin: IndexArray, low: Float64Array, high: Float64Array, raster: int
    ) -> tuple[Float64Array, Float64Array]:
        """Where pixels `begin` (K,) lie on `raster` cells from `low` to `high` (K,), and the step to the next one.

        The edges are in source-image pixels.
        """
        cells = raster / np.maximum(high - low, _ROUNDING)  # per source-image pixel
        return cells * ((begin + 0.5) * self.pixel - low) - 0.5, cells * self.pixel


def axis_of(num_image_pixels: int, num_pixels: int, num_cells: int, cell: float, offset: float) -> Axis:
    """An axis of so many pixels, of the picture and of the output, and cells, placed as `GridTransform` says."""
    pixel = num_image_pixels / num_pixels
    low, high = -offset / cell, (num_image_pixels - offset) / cell  # the picture's borders, in cells
    first = min(max(math.ceil(low - 0.5 - _ROUNDING), 0), num_cells - 1)
    last = min(max(math.floor(high - 0.5 + _ROUNDING), 0), num_cells - 1)
    if last < first:  # a picture thinner than a cell, between two centres
        first = last = min(max(math.floor((low + high) / 2), 0), num_cells - 1)
    factor, edge = cell / pixel, offset / pixel
    whole = max(abs(factor - round(factor)) * num_cells, abs(edge - round(edge))) < _ROUNDING and factor > 0.5
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
    """How much of each of k cells each of n outputs takes: one or two neighbours, that sum to 1."""

    weights: Float32Array
    """(n, k)."""
    lower: IndexArray
    """(n,), ascending: the first cell that each output takes of; no other than that and the next one."""


def taps(
    lengths: IndexArray,
    starts: Float64Array,
    steps: Float64Array,
    num_cells: IndexArray,
) -> list[Taps]:
    """The taps of K axes at once.

    Args:
        lengths: (K,) outputs of each axis.
        starts: (K,) where output 0 of each lies, in cells; the centre of cell i is at i.
        steps: (K,) cells from an output to the next, at least 0.
        num_cells: (K,) cells of each axis, at least 1; beyond the outermost centres their values continue.
    """
    axes = np.repeat(np.arange(len(lengths)), lengths)  # of each output
    ends = np.cumsum(lengths)
    along = np.arange(len(axes)) - (ends - lengths)[axes]
    cells = num_cells[axes]
    places = np.clip(starts[axes] + steps[axes] * along, 0, cells - 1)
    lower = np.minimum(places.astype(np.intp), np.maximum(cells - 2, 0))  # not negative: truncation is floor
    share = places - lower
    sizes = lengths * num_cells
    lasts = np.cumsum(sizes)
    at = (lasts - sizes)[axes] + along * cells + lower
    flat = np.zeros(int(sizes.sum()) + 1, dtype=np.float32)
    # In this order: of an axis with one cell the next place is another output's, whose own entry is yet to come.
    flat[at + 1] = share
    flat[at] = 1 - share
    return [
        Taps(flat[last - size : last].reshape(length, -1), lower[end - length : end])
        for last, size, length, end in zip(lasts.tolist(), sizes.tolist(), lengths.tolist(), ends.tolist(), strict=True)
    ]


def along_rows(of: Taps, values: Float32Array) -> Float32Array:
    """Values (k, m) to (n, m)."""
    if of.weights.size * values.shape[1] <= _AT_ONCE:
        return of.weights @ values
    found = np.empty((len(of.weights), values.shape[1]), dtype=np.float32)
    for outputs, cells in _bands(of):
        np.matmul(of.weights[outputs, cells], values[cells], out=found[outputs])
    return found


def along_columns(values: Float32Array, of: Taps) -> Float32Array:
    """Values (m, k) to (m, n)."""
    if of.weights.size * values.shape[0] <= _AT_ONCE:
        return values @ of.weights.T
    found = np.empty((values.shape[0], len(of.weights)), dtype=np.float32)
    for outputs, cells in _bands(of):
        np.matmul(values[:, cells], of.weights[outputs, cells].T, out=found[:, outputs])
    return found


def _bands(of: Taps) -> list[tuple[slice, slice]]:
    """Outputs, a part after the other, and the cells that they take of."""
    parts = [slice(first, min(first + _BAND, len(of.lower))) for first in range(0, len(of.lower), _BAND)]
    return [(part, slice(int(of.lower[part.start]), int(of.lower[part.stop - 1]) + 2)) for part in parts]
