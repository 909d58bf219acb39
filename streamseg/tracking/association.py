"""Which track is which object: what a pair costs, and the cheapest assignment.

Nested objects make boxes alone ambiguous: a face and its person, a shirt and its wearer overlap in
every frame. Their masks do not look alike, so box and mask have to agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamseg.tracking.appearance import TINY_AREA, Appearance, Bools, Indices, box_overlaps, mask_intersections
from streamseg.tracking.motion import Floats, rigid_offset

__all__ = ["Expectation", "assign", "match_costs"]

REACH_DEVIATIONS = 1.0
"""How far a track may be from where it was expected, in standard deviations. Farther needs overlap."""
MAX_REACH = 1.0
"""The same in object sizes, so that a track lost for long does not match everything."""
DISTANCE_COST = 0.2
"""Cost of a pair at the end of the reach: among objects that look alike, the one in the right place wins."""
LOST_COST = 0.1
"""Cost of finding a lost track again: at equal looks, the track that was just seen goes on."""
BOX_WEIGHT = 0.7
"""Share of the box IoU in the cost; the rest is the mask IoU. Masks tell nested objects apart, boxes shake less."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is expected of T tracks in the frame at hand."""

    visible: Appearance
    """As last seen, moved on."""
    whole: Appearance
    """As seen when nothing was in front, moved on."""
    deviation: Floats
    """(T,) standard deviation in pixels of where they are."""
    lost: Bools
    """(T,) not seen in the last frame."""


def match_costs(tracks: Expectation, detections: Appearance, limit: float) -> Floats:
    """What it costs (T, K) to take a detection for a track; infinite where it is sure to cost more than `limit`.

    A track may first move within its reach to meet the detection, which costs by the distance. Then 0
    is a perfect agreement and 1 none: the cost is 1 minus a weighted mean of box IoU and mask IoU, and
    `LOST_COST` more for a track that was not seen in the last frame. A track is
    compared as it was last seen and as a whole, and the better one counts: half an object behind a
    pole looks like its last half, or like all of it when it steps out.
    """
    costs = np.full((len(tracks.deviation), len(detections)), np.inf)
    reach = np.minimum(REACH_DEVIATIONS * tracks.deviation, MAX_REACH * np.sqrt(tracks.whole.box_areas))
    penalty = LOST_COST * tracks.lost
    for looks in (tracks.visible, tracks.whole):
        rows, columns = _near(looks.boxes, detections.boxes, reach)
        rows, columns, paid = _costs(looks, detections, rows, columns, reach, limit)
        costs[rows, columns] = np.minimum(costs[rows, columns], paid + penalty[rows])
    return costs


def assign(costs: Floats, limit: float) -> tuple[Indices, Indices]:
    """The one-to-one pairs of rows and columns of `costs` (T, K) that save most, (P,) each.

    A pair saves what it costs less than `limit`; the others are no match. So one perfect pair is
    never given up for two poor ones.
    """
    savings = np.maximum(limit - costs, 0.0)
    rows, columns = linear_sum_assignment(savings, maximize=True)
    real = savings[rows, columns] > 0
    return rows[real], columns[real]


def _near(tracks: Floats, detections: Floats, reach: Floats) -> tuple[Indices, Indices]:
    """Pairs (P,), (P,) of boxes (T, 4), (K, 4) that touch when the first may be off by `reach` (T,)."""
    low, high = tracks[:, :2] - reach[:, None], tracks[:, 2:] + reach[:, None]
    touching = np.ones((len(tracks), len(detections)), dtype=np.bool_)
    for axis in (0, 1):
        touching &= low[:, axis, None] < detections[:, 2 + axis]
        touching &= high[:, axis, None] > detections[:, axis]
    rows, columns = np.nonzero(touching)
    return rows, columns


def _costs(
    tracks: Appearance, detections: Appearance, rows: Indices, columns: Indices, reach: Floats, limit: float
) -> tuple[Indices, Indices, Floats]:
    """Costs of pairs (P,) of a row of `tracks` and one of `detections`, when tracks may move by `reach` (T,) pixels.

    Returns:
        The pairs (Q,), (Q,) that can cost up to `limit`, and their costs (Q,) without that of being lost.
    """
    boxes, found = tracks.boxes[rows], detections.boxes[columns]
    allowed = reach[rows, None]
    offsets = np.clip(rigid_offset(found[:, :2] - boxes[:, :2], found[:, 2:] - boxes[:, 2:]), -allowed, allowed)
    distance = ((offsets / np.maximum(allowed, TINY_AREA)) ** 2).max(axis=1, initial=0.0)
    box_shared, box_iou = box_overlaps(boxes + np.tile(offsets, 2), found)
    costs = 1 - BOX_WEIGHT * box_iou + DISTANCE_COST * distance

    # Masks cannot share more than their boxes do: most pairs are out before anybody looks at a mask.
    areas, found_areas = tracks.mask_areas[rows], detections.mask_areas[columns]
    most_shared = np.minimum(np.minimum(areas, found_areas), box_shared)
    possible = costs - (1 - BOX_WEIGHT) * _mask_iou(most_shared, areas, found_areas, box_iou) <= limit
    rows, columns, box_iou, costs = rows[possible], columns[possible], box_iou[possible], costs[possible]
    shared = mask_intersections(tracks[rows].moved(offsets[possible]), detections[columns])
    mask_iou = _mask_iou(shared, areas[possible], found_areas[possible], box_iou)
    return rows, columns, costs - (1 - BOX_WEIGHT) * mask_iou


def _mask_iou(shared: Floats, areas: Floats, found_areas: Floats, box_iou: Floats) -> Floats:
    """(P,) from areas. Objects smaller than a cell of the grid may have no mask; then the boxes speak alone."""
    union = areas + found_areas - shared
    mask_iou: Floats = np.where(union > 0, shared / np.maximum(union, TINY_AREA), box_iou)
    return mask_iou
