"""Bilinear interpolation of one axis at a time, as products with matrices of few entries per row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Taps", "along_columns", "along_rows", "taps"]

Floats = npt.NDArray[np.float32]

_AT_ONCE = 2**19
"""Multiplications per product: from about twice as many on, OpenBLAS shares a product out among threads, who wait for
each other by spinning; on a busy machine a product of 40 µs then takes 30 ms."""

_BAND = 64
"""Outputs per product where all of them would be too many: they need few of the cells."""


class Taps(NamedTuple):
    """How much of each of k cells each of n outputs takes: one or two neighbours, that sum to 1."""

    weights: Floats
    """(n, k)."""
    lower: npt.NDArray[np.intp]
    """(n,), ascending: the first cell that each output takes of; no other than that and the next one."""


def taps(
    lengths: npt.NDArray[np.intp],
    starts: npt.NDArray[np.float64],
    steps: npt.NDArray[np.float64],
    num_cells: npt.NDArray[np.intp],
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


def along_rows(of: Taps, values: Floats) -> Floats:
    """Values (k, m) to (n, m)."""
    if of.weights.size * values.shape[1] <= _AT_ONCE:
        return of.weights @ values
    found = np.empty((len(of.weights), values.shape[1]), dtype=np.float32)
    for outputs, cells in _bands(of):
        np.matmul(of.weights[outputs, cells], values[cells], out=found[outputs])
    return found


def along_columns(values: Floats, of: Taps) -> Floats:
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
