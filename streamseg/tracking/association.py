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

REACH_DEVIATIONS = 1.5
"""How far a track may be from where it was expected, in standard deviations. Farther needs overlap."""
MAX_REACH = 1.0
"""The same in object sizes, so that a track lost for long does not match everything."""
DISTANCE_COST = 0.15
"""Cost of a pair at the end of the reach: among objects that look alike, the one in the right place wins."""
LOST_COST = 0.1
"""Cost of finding a lost track again: at equal looks, the track that was just seen goes on."""
BOX_WEIGHT = 0.6
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


def match_costs(tracks: Expectation, detections: Appearance) -> Floats:
    """What it costs (T, K) to take a detection for a track; infinite for pairs that are too far apart.

    A track may first move within its reach to meet the detection, which costs by the distance. Then 0
    is a perfect agreement and 1 none: the cost is 1 minus a mean of box IoU and mask IoU. A track is
    compared as it was last seen and as a whole, and the better one counts: half an object behind a
    pole looks like its last half, or like all of it when it steps out.
    """
    costs = np.full((len(tracks.deviation), len(detections)), np.inf)
    reach = np.minimum(REACH_DEVIATIONS * tracks.deviation, MAX_REACH * np.sqrt(tracks.whole.box_areas))
    low = np.minimum(tracks.visible.boxes[:, :2], tracks.whole.boxes[:, :2])
    high = np.maximum(tracks.visible.boxes[:, 2:], tracks.whole.boxes[:, 2:])
    rows, columns = _near(np.concatenate((low, high), axis=1), detections.boxes, reach)
    found = detections[columns]
    as_seen = _costs(tracks.visible[rows], found, reach[rows])
    as_whole = _costs(tracks.whole[rows], found, reach[rows])
    costs[rows, columns] = np.minimum(as_seen, as_whole) + LOST_COST * tracks.lost[rows]
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
    apart = np.maximum(tracks[:, None, :2] - detections[None, :, 2:], detections[None, :, :2] - tracks[:, None, 2:])
    rows, columns = np.nonzero((apart < reach[:, None, None]).all(axis=2))
    return rows, columns


def _costs(tracks: Appearance, detections: Appearance, reach: Floats) -> Floats:
    """Cost (P,) of pairs, one to one, when a track may move by `reach` (P,) pixels along either axis."""
    low = detections.boxes[:, :2] - tracks.boxes[:, :2]
    high = detections.boxes[:, 2:] - tracks.boxes[:, 2:]
    limit = reach[:, None]
    offsets = np.clip(rigid_offset(low, high), -limit, limit)
    distance = ((offsets / np.maximum(limit, TINY_AREA)) ** 2).max(axis=1, initial=0.0)
    moved = tracks.moved(offsets)
    shared = mask_intersections(moved, detections)
    union = moved.mask_areas + detections.mask_areas - shared
    box_iou = box_overlaps(moved.boxes, detections.boxes)
    # Objects smaller than a cell of the grid may have no mask at all; then the boxes speak alone.
    mask_iou = np.where(union > 0, shared / np.maximum(union, TINY_AREA), box_iou)
    costs: Floats = 1 - BOX_WEIGHT * box_iou - (1 - BOX_WEIGHT) * mask_iou + DISTANCE_COST * distance
    return costs
