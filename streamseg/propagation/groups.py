"""Groups of proposals that together fill a box: a rider and a horse, a person and a kite.

A network finds such things as several instances, and no single one answers the box.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streamseg.propagation.agreement import Proposals
from streamseg.propagation.pixels import enlarged
from streamseg.structures.arrays import BoolArray, Float32Array, IndexArray

__all__ = ["group_in_box", "group_in_mask"]

MIN_INSIDE: Final = 0.85
"""Minimum fraction of a member's mask inside the box: hands and wheels reach out of drawn boxes."""
MIN_INSIDE_MASK: Final = 0.7
"""The same inside a propagated mask, whose outline is not exact."""
MIN_SCORE: Final = 0.1
"""Minimum score of a member."""
MIN_FIT: Final = 0.6
"""Minimum IoU of the box with the tight box of all members together."""
MIN_GAIN: Final = 0.02
"""Minimum gain of this IoU times the score over that of a single instance, which is preferred as the simpler answer.
The score counts, because a stain fills any box that it was searched for in."""


def group_in_box(proposals: Proposals, box: tuple[float, float, float, float], single: int) -> tuple[int, ...]:
    """Return the rows of a group that answers a box better than a single instance; empty if there is none.

    Args:
        proposals: the instances of the frame.
        box: xyxy in pixels of the image.
        single: row of the instance that answers the box; -1 if none does.
    """
    x0, y0, x1, y1 = proposals.to_cells(box)
    height, width = proposals.size
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    area: BoolArray = ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))
    if not area.any():
        return ()
    members = [
        row
        for row in proposals.near(area)
        if proposals.scores[row] >= MIN_SCORE and _share_inside(proposals.mask(row), area) >= MIN_INSIDE
    ]
    if len(members) < 2:
        return ()
    fit = _fit(proposals.union(members), area)
    areas = [np.count_nonzero(proposals.mask(row)) for row in members]
    score = float(np.average([proposals.scores[row] for row in members], weights=areas))
    best = _fit(proposals.mask(single), area) * proposals.scores[single] if single >= 0 else 0.0
    return tuple(members) if fit >= MIN_FIT and fit * score >= best + MIN_GAIN else ()


def group_in_mask(proposals: Proposals, soft: Float32Array, *, min_iou: float) -> tuple[int, ...]:
    """Return the rows of the objects of a propagated group; empty if they do not fill it.

    Args:
        proposals: the instances of the frame.
        soft: (H, W), 0..1, the propagated mask of the group.
        min_iou: minimum IoU of the group with all of them together.
    """
    group: BoolArray = enlarged(soft, proposals.size) > 0.5
    if not group.any():
        return ()
    members = [
        row
        for row in proposals.near(group)
        if proposals.scores[row] >= MIN_SCORE and _share_inside(proposals.mask(row), group) >= MIN_INSIDE_MASK
    ]
    union = proposals.union(members)
    iou = int(np.count_nonzero(union & group)) / int(np.count_nonzero(union | group))
    return tuple(members) if iou >= min_iou else ()


def _share_inside(mask: BoolArray, area: BoolArray) -> float:
    return int(np.count_nonzero(mask & area)) / max(int(np.count_nonzero(mask)), 1)


def _fit(mask: BoolArray, area: BoolArray) -> float:
    """Return the IoU of the tight boxes of two masks, of which the second is not empty; 0 if the first one is empty."""
    if not mask.any():
        return 0.0
    first, second = _bounds(mask), _bounds(area)
    low, high = np.maximum(first[0], second[0]), np.minimum(first[1], second[1])
    shared = np.maximum(high - low, 0).prod()
    return float(shared / (sum((high - low).prod() for low, high in (first, second)) - shared))


def _bounds(mask: BoolArray) -> tuple[IndexArray, IndexArray]:
    """Return the first and the end of the rows and columns, (2,) each, of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([rows[0], columns[0]]), np.array([rows[-1] + 1, columns[-1] + 1])
