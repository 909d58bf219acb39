"""How much of one object's mask lies on another's, on the rasters that are kept of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.appearance import Floats
from streamseg.prompting.history import RASTER, Sighting
from streamseg.structures.instances import CORRECTION_MARGIN

__all__ = ["MIN_INSIDE", "shares_inside"]

MIN_INSIDE: Final = 0.8
"""Share of a part's mask on its whole's in one picture: outlines of networks differ by that much."""
NUM_PLACES: Final = 12
"""Places per side of a mask at which two are compared."""


def shares_inside(sighting: Sighting, parts: Sequence[int], wholes: Sequence[int]) -> Floats:
    """Which shares (P,) of the masks of P rows lie on the masks of P other rows; 0 of an empty mask."""
    step = RASTER // NUM_PLACES
    rasters = sighting.rasters
    first = rasters[np.array(parts, dtype=np.intp), step // 2 :: step, step // 2 :: step] > 0  # (P, N, N)
    boxes, others = sighting.boxes[list(parts)], sighting.boxes[list(wholes)]
    widened = 1 + 2 * CORRECTION_MARGIN
    places = ((np.arange(NUM_PLACES) * step + step // 2) + 0.5) / RASTER * widened - CORRECTION_MARGIN
    columns, rows = (_cells(boxes, others, places, axis) for axis in (0, 1))  # (P, N) each
    within = ((columns >= 0) & (columns < RASTER))[:, None, :] & ((rows >= 0) & (rows < RASTER))[:, :, None]
    columns, rows = (cells.clip(0, RASTER - 1) for cells in (columns, rows))
    held = rasters[np.array(wholes, dtype=np.intp)[:, None, None], rows[:, :, None], columns[:, None, :]] > 0
    shared: Floats = (first & within & held).sum(axis=(1, 2)) / np.maximum(first.sum(axis=(1, 2)), 1)
    return shared


def _cells(
    boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32], places: Floats, axis: int
) -> npt.NDArray[np.intp]:
    """Cells (P, N) of the other boxes' rasters, along one axis, at N places of boxes (P, 4); may lie outside."""
    low, size = boxes[:, axis, None], (boxes[:, axis + 2] - boxes[:, axis])[:, None]
    other_low, other_size = others[:, axis, None], (others[:, axis + 2] - others[:, axis])[:, None]
    shares = (low + size * places - other_low) / np.maximum(other_size, 1e-6)
    cells: npt.NDArray[np.intp] = np.floor((shares + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * RASTER).astype(
        np.intp
    )
    return cells
