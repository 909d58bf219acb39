"""Search for one target in one frame, by what it looks like and by other evidence.

Search         one target and the search for it
better_row     the row at a target's place that is the target more likely than what is seen there
row_elsewhere  the row anywhere that looks like a target, and like nothing else
evident_row    the row anywhere that is a target by its looks and by other evidence together
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from streamseg.geometry import box_iou
from streamseg.prompting.looks import TargetLooks
from streamseg.prompting.mask_frame import MaskFrame
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array

__all__ = ["DOUBTFUL_RATING", "NOTHING", "OVERLAP", "Search", "better_row", "evident_row", "row_elsewhere"]

DOUBTFUL_RATING: Final = 0.8
"""Ratings below it (`TargetLooks.ratings`) are doubtful: on the smooth sequences of films-dev, correct masks have .95
or more, masks of something else often less than .4."""
CERTAIN_RATING: Final = 1.4
"""Minimum rating with votes at which a target is found elsewhere if it is ahead of all others by `CERTAIN_MARGIN`."""
CERTAIN_MARGIN: Final = 0.2
FOUND_RATING: Final = 1.0
"""Minimum rating with votes at which a target is found elsewhere if it is ahead of all others by `MARGIN`."""
MARGIN: Final = 0.3
"""Minimum difference from the rating of everything else in the frame."""
ABSENT_MARGIN: Final = 0.6
"""The same if nothing is seen at the target's place: it may be hidden or outside, and all others something else."""
PATIENT_FRAMES: Final = 3
"""Number of consecutive frames under one track id after which a rating of `FOUND_RATING` is enough without `MARGIN`."""
MIN_GAIN: Final = 0.1
"""Minimum difference from the rating of what is at the target's place."""
NOTHING: Final = -2.0
"""Rating of nothing: below any other."""
OVERLAP: Final = 0.3
"""Minimum share of the smaller one of two masks that they have in common to be no separate objects."""
SAME_RATING: Final = 0.05
"""Maximum difference of the ratings of one row by two targets that may be the same object."""
MAX_COMPARED: Final = 6
"""Maximum number of rows whose cells vote: those with the best ratings."""
EVIDENT_RATING: Final = 0.8
"""Minimum rating, without votes, of a row that is a lost target by all evidence together."""
RATING_WEIGHT: Final = 2.0
"""Log odds per unit of the rating, beside the log odds by position, size, silhouette and embedding: a logistic fit of
whether the best row is the target, on rendered scenes (seeds 1, 2, 5 and 6) with the default network."""
EVIDENT_ODDS: Final = -1.7
"""Minimum joint log odds of such a row in two consecutive frames. These are the log odds of any row in any frame; one
that is ahead of all others, twice, is more likely. Of -0.7 and -1.7, the better one on seeds 3, 4 and 7."""
EVIDENT_MARGIN: Final = 1.0
"""Minimum difference from the joint log odds of all objects elsewhere."""
SURE_ODDS: Final = 0.7
"""Joint log odds from which one frame is enough."""
SAME_BOX_IOU: Final = 0.4
"""Minimum IoU of the boxes of the evident rows of consecutive frames. New objects have no track id for some frames."""


@dataclass(eq=False)
class Search:
    """One target and the search for it."""

    looks: TargetLooks = field(default_factory=TargetLooks)
    phase: int = 0
    """Frames by which the third look comes earlier, so that targets that begin together take turns."""
    num_learnt: int = 0
    """Number of looks that were learnt."""
    num_passed: int = 0
    """Number of frames with the target, propagated or left to its track, since the last one."""
    rating: float = NOTHING
    """Rating of the target at its place."""
    own_id: int = -1
    """Track id of what was seen when the target last looked like itself; -1 if it had none."""
    own_area: float = 0.0
    """Area of its box when it was last seen under that track id, pixels."""
    likely_id: int = -1
    """Track id of the likely row in the last frame; -1 if there was none."""
    num_likely: int = 0
    evident_box: Float32Array | None = None
    """Box (4,) xyxy of the evident row of the last frame; None if there was none."""
    num_delayed: int = 0
    """Number of learnt frames that are not used any more."""
    num_waiting: int = 0
    """Number of frames in which other targets were searched for instead."""


def better_row(looks: TargetLooks, frame: MaskFrame, place: Float32Array, own: float) -> int:
    """Return the row at a target's place that is the target more likely than what is seen there; -1 if none is."""
    rows = np.flatnonzero(frame.overlapping(place, OVERLAP))
    if not len(rows):
        return -1
    shares = np.concatenate((frame.shares[rows], place[None]))
    ratings = np.append(looks.ratings(frame.row_looks[rows]), own) + looks.votes(frame.features, shares)
    best = int(ratings[:-1].argmax())
    return int(rows[best]) if ratings[best] >= ratings[-1] + MIN_GAIN else -1


def row_elsewhere(search: Search, frame: MaskFrame, own: float, taken: Mapping[int, float]) -> int:
    """Return the row that a target is found in anywhere; -1 if there is none."""
    ratings = search.looks.ratings(frame.row_looks)
    is_possible = _are_possible(search, frame, ratings, taken)
    best, rating, second = -1, NOTHING, own
    if is_possible.any():
        full, compared = ratings.copy(), np.argsort(-ratings, kind="stable")[:MAX_COMPARED]
        full[compared] += search.looks.votes(frame.features, frame.shares[compared])
        best = int(np.where(is_possible, full, NOTHING).argmax())
        is_other = ~frame.overlapping(frame.shares[best], OVERLAP)
        rating, second = float(full[best]), max(float(full[is_other].max(initial=NOTHING)), own)
    is_likely = rating >= FOUND_RATING and rating >= own + MIN_GAIN
    track_id = frame.track_ids[best] if is_likely else -1
    search.num_likely = search.num_likely + 1 if track_id >= 0 and track_id == search.likely_id else int(track_id >= 0)
    search.likely_id = track_id
    margin = MARGIN if own > NOTHING else ABSENT_MARGIN
    is_found = rating >= second + (CERTAIN_MARGIN if rating >= CERTAIN_RATING else margin)
    is_found |= search.num_likely >= PATIENT_FRAMES
    return best if is_likely and is_found else -1


def evident_row(
    search: Search, frame: MaskFrame, own: float, taken: Mapping[int, float], log_odds: Float64Array
) -> int:
    """Return the row anywhere that is a lost target by all evidence together; -1 if there is none.

    Args:
        search: the search, which remembers the likely row until the next frame.
        frame: the newest frame, with K rows.
        own: rating of what is seen at the target's place; `NOTHING` if nothing is.
        taken: ratings by their own targets of the rows that are other targets.
        log_odds: (K,) by position, size, silhouette and embedding, see `reid.LostTarget`.
    """
    before, search.evident_box = search.evident_box, None
    ratings = search.looks.ratings(frame.row_looks)
    is_possible = _are_possible(search, frame, ratings, taken) & (ratings >= EVIDENT_RATING)
    if not is_possible.any():
        return -1
    joint = log_odds + RATING_WEIGHT * (ratings - 1)
    best = int(np.where(is_possible, joint, -np.inf).argmax())
    is_elsewhere = ~frame.overlapping(frame.shares[best], OVERLAP)
    second = float(joint[is_elsewhere].max(initial=-np.inf))
    if joint[best] < max(EVIDENT_ODDS, second + EVIDENT_MARGIN) or ratings[best] < own + MIN_GAIN:
        return -1
    box = frame.tracked.instances.boxes[best].numpy(force=True)
    search.evident_box = box
    return best if joint[best] >= SURE_ODDS or (before is not None and _iou(before, box) >= SAME_BOX_IOU) else -1


def _are_possible(search: Search, frame: MaskFrame, ratings: Float32Array, taken: Mapping[int, float]) -> BoolArray:
    """Return which rows (K,), with these ratings, may be a target."""
    are_possible: BoolArray = (ratings >= DOUBTFUL_RATING) & ~search.looks.are_others(frame.row_looks, frame.track_ids)
    for row, other in taken.items():
        # The row of another target, unless this one looks like it as much: two prompts may mean one object.
        are_possible[row] &= ratings[row] >= other - SAME_RATING
    return are_possible


def _iou(first: Float32Array, second: Float32Array) -> float:
    return float(box_iou(torch.from_numpy(first[None]), torch.from_numpy(second[None])))
