"""Association of tracks and detections: costs of pairs, and the assignment of minimum cost.

Nested objects make boxes alone ambiguous: a face and its person, or a shirt and its wearer, overlap in every frame.
Their masks differ, so both box and mask have to agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray
from streamseg.tracking.appearance import TINY_AREA, Appearance, box_overlaps, mask_intersections
from streamseg.tracking.motion import rigid_offset

__all__ = ["Expectation", "assign", "match_costs"]

REACH_DEVIATIONS = 1.0
"""Distance that a track may deviate from its predicted position, in standard deviations. Farther requires overlap."""
MAX_REACH = 1.0
"""Upper limit of that distance in object sizes, so that a long-lost track does not match everything."""
DISTANCE_COST = 0.2
"""Cost of a pair at the maximum distance: among objects that look alike, the one at the predicted position wins."""
LOST_COST = 0.1
"""Additional cost of matching a lost track: at equal appearance, a track seen in the last frame takes precedence."""
BOX_WEIGHT = 0.7
"""Weight of the box IoU in the cost; the rest is the mask IoU. Masks separate nested objects, boxes jitter less."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """Prediction of T tracks for the current frame."""

    visible: Appearance
    """Appearance when last seen, moved to the predicted positions."""
    whole: Appearance
    """Appearance when last unoccluded, moved to the predicted positions."""
    deviation: Float64Array
    """(T,) standard deviation of the predicted positions, in pixels."""
    lost: BoolArray
    """(T,) True for tracks not seen in the last frame."""


def match_costs(
    tracks: Expectation, detections: Appearance, limit: float, *, looks: Float64Array | None = None
) -> Float64Array:
    """Return the costs (T, K) of matching tracks with detections; infinite if certain to exceed `limit`.

    A track may first move within its reach towards the detection, at a cost that depends on the distance. The
    remaining cost is 1 minus a weighted mean of box IoU and mask IoU, 0 for perfect agreement and 1 for none, plus
    `LOST_COST` for a track that was not seen in the last frame. A track is compared both as last seen and as a whole,
    and the lower cost counts: an object half behind a pole resembles its last visible half, or the whole once it
    emerges.

    Args:
        tracks: T tracks.
        detections: K objects of the frame.
        limit: maximum cost.
        looks: (T, K) by how much looks change the cost of each pair; None for no change.
    """
    num_tracks = len(tracks.deviation)
    reach = np.minimum(REACH_DEVIATIONS * tracks.deviation, MAX_REACH * np.sqrt(tracks.whole.box_areas))
    # In one pass, because the calls take most of the time.
    both, reach = tracks.visible + tracks.whole, np.tile(reach, 2)
    added = np.zeros((num_tracks, len(detections))) if looks is None else looks
    possible = _near(both.boxes, detections.boxes, reach)
    possible[:num_tracks] &= added <= limit
    possible[num_tracks:] &= added <= limit
    rows, columns = np.nonzero(possible)
    start = added[rows % max(num_tracks, 1), columns]
    rows, columns, pair_costs = _costs(both, detections, rows, columns, reach, limit, start)
    costs = np.full((2 * num_tracks, len(detections)), np.inf)
    costs[rows, columns] = pair_costs
    lowest: Float64Array = np.minimum(costs[:num_tracks], costs[num_tracks:]) + LOST_COST * tracks.lost[:, None]
    return lowest


def assign(costs: Float64Array, limit: float) -> tuple[IndexArray, IndexArray]:
    """Return the one-to-one pairs of rows and columns of `costs` (T, K) that save most, (P,) each.

    A pair saves the difference between `limit` and its cost; pairs at or above the limit are no match. One perfect
    pair is therefore never traded for two poor ones.
    """
    savings = np.maximum(limit - costs, 0.0)
    rows, columns = linear_sum_assignment(savings, maximize=True)
    real = savings[rows, columns] > 0
    return rows[real], columns[real]


def _near(tracks: Float64Array, detections: Float64Array, reach: Float64Array) -> BoolArray:
    """Return which pairs (T, K) of boxes (T, 4), (K, 4) overlap if the first may be displaced by `reach` (T,)."""
    low, high = tracks[:, :2] - reach[:, None], tracks[:, 2:] + reach[:, None]
    touching = np.ones((len(tracks), len(detections)), dtype=np.bool_)
    for axis in (0, 1):
        touching &= low[:, axis, None] < detections[:, 2 + axis]
        touching &= high[:, axis, None] > detections[:, axis]
    return touching


def _costs(
    tracks: Appearance,
    detections: Appearance,
    rows: IndexArray,
    columns: IndexArray,
    reach: Float64Array,
    limit: float,
    start: Float64Array,
) -> tuple[IndexArray, IndexArray, Float64Array]:
    """Compute the costs of pairs (P,) of tracks and detections, if tracks may move by `reach` (T,) pixels.

    The costs of agreement and distance are added to `start` (P,).

    Returns:
        The pairs (Q,), (Q,) that may cost at most `limit`, and their costs (Q,) without `LOST_COST`.
    """
    boxes, found = tracks.boxes[rows], detections.boxes[columns]
    allowed = reach[rows, None]
    offsets = rigid_offset(found[:, :2] - boxes[:, :2], found[:, 2:] - boxes[:, 2:])
    offsets = np.minimum(np.maximum(offsets, -allowed), allowed)
    squares = (offsets / np.maximum(allowed, TINY_AREA)) ** 2
    distance = np.maximum(squares[:, 0], squares[:, 1])
    box_shared, box_iou = box_overlaps(boxes + np.concatenate((offsets, offsets), axis=1), found)
    costs = start + 1 - BOX_WEIGHT * box_iou + DISTANCE_COST * distance

    # Masks share no more than their boxes: this rules out most pairs without comparing masks.
    areas, found_areas = tracks.mask_areas[rows], detections.mask_areas[columns]
    most_shared = np.minimum(np.minimum(areas, found_areas), box_shared)
    possible = costs - (1 - BOX_WEIGHT) * _mask_iou(most_shared, areas, found_areas, box_iou) <= limit
    rows, columns, box_iou, costs = rows[possible], columns[possible], box_iou[possible], costs[possible]
    shared = mask_intersections(tracks, detections, rows, columns, offsets[possible])
    mask_iou = _mask_iou(shared, areas[possible], found_areas[possible], box_iou)
    return rows, columns, costs - (1 - BOX_WEIGHT) * mask_iou


def _mask_iou(
    shared: Float64Array, areas: Float64Array, found_areas: Float64Array, box_iou: Float64Array
) -> Float64Array:
    """Return the mask IoU (P,) from areas, or the box IoU for objects below one grid cell that have no mask."""
    union = areas + found_areas - shared
    mask_iou: Float64Array = np.where(union > 0, shared / np.maximum(union, TINY_AREA), box_iou)
    return mask_iou
