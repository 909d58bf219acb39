"""Areas, centres and boxes of masks on a grid, for many masks at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamseg.structures.arrays import BoolArray, Float64Array

__all__ = ["Extents", "extents"]


class Extents(NamedTuple):
    """Extents of T masks, in cells."""

    areas: Float64Array
    """(T,)."""
    centres: Float64Array
    """(T, 2): centres of mass, x and y; 0 for an empty mask."""
    boxes: Float64Array
    """(T, 4): tight boxes xyxy; without meaning for an empty mask."""


def extents(masks: BoolArray) -> Extents:
    """Return the extents of masks (T, H, W)."""
    _, height, width = masks.shape
    cells = masks.astype(np.float32)  # sums of floats are several times as fast as those of bools
    by_row, by_column = cells.sum(axis=2), cells.sum(axis=1)  # (T, H), (T, W)
    areas = by_row.sum(axis=1, dtype=np.float64)
    total = np.maximum(areas, 1)
    centres = np.stack(
        [by_column @ (np.arange(width) + 0.5) / total, by_row @ (np.arange(height) + 0.5) / total], axis=1
    )
    left, right = (by_column > 0).argmax(axis=1), width - (by_column[:, ::-1] > 0).argmax(axis=1)
    top, bottom = (by_row > 0).argmax(axis=1), height - (by_row[:, ::-1] > 0).argmax(axis=1)
    return Extents(areas, centres, np.stack([left, top, right, bottom], axis=1).astype(np.float64))
