"""One axis of the prototype grid and of the rasters of corrections, seen from the pixels of an output."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Axis", "Range", "axis_of"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_ROUNDING = 1e-6
"""Slack, in cells or pixels, for centres that lie on an edge except for float rounding."""


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

    def spans(self, low: Floats, high: Floats) -> tuple[Indices, Indices]:
        """Output pixels [begin, end) (K,) whose centres lie between two edges of boxes (K,) in source-image pixels.

        The outermost half cell of the picture has no logits of its own (it repeats the cell's centre),
        so that nothing could tell whether an object ends in it: an edge that lies there goes to the
        border, and masks reach it.
        """
        extent = self.num_pixels * self.pixel
        low = np.where(low <= self.cell / 2, 0.0, low)
        high = np.where(high >= extent - self.cell / 2, extent, high)
        return np.maximum(self.pixels(low), 0), np.minimum(self.pixels(high), self.num_pixels)

    def pixels(self, edges: Floats) -> Indices:
        """The first output pixels whose centres lie beyond edges (in source-image pixels); may lie outside."""
        return np.ceil(edges / self.pixel - 0.5 - _ROUNDING).astype(np.intp)

    def windows(self, begin: Indices, end: Indices) -> tuple[Indices, Indices]:
        """Grid cells [first, stop) (K,) that output pixels [begin, end) are interpolated from.

        Cells in the letterbox padding are left out: what the network says there is about no picture,
        and would pull masks away from the border. The outermost cells of the picture are repeated instead.
        """
        low = np.floor(self.start + self.step * begin).astype(np.intp)
        high = np.floor(self.start + self.step * (end - 1)).astype(np.intp) + 1
        return np.clip(low, self.first, self.last), np.clip(high, self.first, self.last) + 1

    def ranges(self, low: Floats, high: Floats) -> list[Range]:
        """The pixels between edges (K,), each with its window."""
        return self.windowed(*self.spans(low, high))

    def windowed(self, begin: Indices, end: Indices) -> list[Range]:
        """Pixels [begin, end) (K,), each with its window."""
        return [Range(*of) for of in np.stack([begin, end, *self.windows(begin, end)], axis=1).tolist()]

    def on_raster(self, begin: Indices, low: Floats, high: Floats, raster: int) -> tuple[Floats, Floats]:
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
