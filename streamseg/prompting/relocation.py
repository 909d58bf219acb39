"""Doubt what propagation and tracks show at a target's place, and find the target elsewhere, by what it looks like.

Frames may be far apart: a target moves beyond the reach of propagation, is hidden, or comes back. What is at its place
then does not look like it, while some other instance does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamseg.prompting.looks import TargetLooks, mean_features
from streamseg.prompting.mask_frame import MaskFrame
from streamseg.structures.arrays import Float32Array

__all__ = ["Relocator", "Verdict"]

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
LEARNING_INTERVAL: Final = 5
"""Number of learnt frames of a target of which one is used for its looks, after the first two ones."""
OVERLAP: Final = 0.3
"""Minimum share of the smaller one of two masks that they have in common to be no separate objects."""
SAME_RATING: Final = 0.05
"""Maximum difference of the ratings of one row by two targets that may be the same object."""
MAX_COMPARED: Final = 6
"""Maximum number of rows whose cells vote: those with the best ratings."""
MAX_SEARCHES: Final = 4
"""Maximum number of targets that are searched for in one frame, because each search takes a millisecond; they take
turns."""


@dataclass(frozen=True)
class Verdict:
    """What is known about the place of a doubtful target."""

    row: int
    """Row of the target; -1 if it is not found."""
    is_elsewhere: bool = True
    """False if the row is another instance at the same place."""


@dataclass(eq=False)
class _Search:
    """One target and the search for it."""

    looks: TargetLooks = field(default_factory=TargetLooks)
    phase: int = 0
    """Added to `num_learnt`, see `LEARNING_INTERVAL`."""
    num_learnt: int = 0
    rating: float = NOTHING
    """Rating of the target at its place."""
    likely_id: int = -1
    """Track id of the likely row in the last frame; -1 if there was none."""
    num_likely: int = 0
    num_waiting: int = 0
    """Number of frames in which other targets were searched for instead."""


class Relocator:
    """The looks of the targets of one source."""

    def __init__(self) -> None:
        self._searches: dict[str, _Search] = {}

    def retain(self, target_ids: Collection[str]) -> None:
        """Forget all targets except these."""
        self._searches = {one: search for one, search in self._searches.items() if one in target_ids}

    def verdicts(
        self,
        places: Mapping[str, Float32Array | None],
        rows: Mapping[str, int],
        confirmed: Collection[str],
        frame: MaskFrame,
    ) -> dict[str, Verdict]:
        """Return verdicts on the targets that do not look like themselves, are not seen, or are seen better otherwise.

        Args:
            places: by target id, how much of each cell (H, W), 0..1, belongs to what is seen at its place; None if
                nothing is seen.
            rows: by target id, the row that is seen there; -1 if it is none. Targets without a place look as they did.
            confirmed: ids of the targets whose place an instance agrees with; other instances there are not compared.
            frame: the newest frame; pass each frame once.
        """
        known = {
            one: search for one in places if (search := self._searches.get(one)) is not None and search.looks.is_known
        }
        seen = {one: place for one in known if (place := places[one]) is not None and place.any()}
        looks = dict(zip(seen, mean_features(frame.features, list(seen.values())), strict=True)) if seen else {}
        owns = {
            one: float(search.looks.ratings(looks[one][None])[0]) if one in seen else NOTHING
            for one, search in known.items()
        }
        taken = dict[int, float]()
        for target_id, row in rows.items():
            search = self._searches.get(target_id)
            if search is not None:
                search.rating = owns.get(target_id, search.rating)
                if search.rating >= DOUBTFUL_RATING and row >= 0:
                    taken[row] = max(search.rating, taken.get(row, search.rating))
        due = [one for one in known if owns[one] < DOUBTFUL_RATING or one not in confirmed]
        due.sort(key=lambda one: -known[one].num_waiting)  # stable
        rows_found = dict[str, int]()
        for position, target_id in enumerate(due):
            search, place, own = known[target_id], seen.get(target_id), owns[target_id]
            search.num_waiting = 0 if position < MAX_SEARCHES else search.num_waiting + 1
            if search.num_waiting:
                continue
            if place is not None and own >= DOUBTFUL_RATING:
                rows_found[target_id] = _better(search.looks, frame, place, own)
            else:
                rows_found[target_id] = _elsewhere(search, frame, own, taken)
        verdicts = dict[str, Verdict]()
        for target_id, search in known.items():
            row = rows_found.get(target_id, -1)
            if owns[target_id] >= DOUBTFUL_RATING:
                search.likely_id, search.num_likely = -1, 0
            if row >= 0 or owns[target_id] < DOUBTFUL_RATING:
                verdicts[target_id] = Verdict(row, owns[target_id] < DOUBTFUL_RATING)
        return verdicts

    def learn(self, labels: Mapping[str, Float32Array], frame: MaskFrame) -> None:
        """Learn the looks of targets whose masks are certain in the newest frame, given as labels (H, W), 0..1."""
        for target_id, label in labels.items():
            if not label.any():
                continue  # smaller than a cell
            # Targets that begin together take turns.
            search = self._searches.setdefault(target_id, _Search(phase=len(self._searches)))
            is_due = search.num_learnt < 2 or (search.num_learnt + search.phase) % LEARNING_INTERVAL == 0
            search.num_learnt += 1
            if not is_due:
                continue
            search.looks.learn(mean_features(frame.features, [label])[0], frame.features, label)
            beside = np.flatnonzero(~frame.overlapping(label, OVERLAP)).tolist()
            search.looks.learn_others(frame.row_looks[beside], [frame.track_ids[row] for row in beside])


def _better(looks: TargetLooks, frame: MaskFrame, place: Float32Array, own: float) -> int:
    """Return the row at a target's place that is the target more likely than what is seen there; -1 if none is."""
    rows = np.flatnonzero(frame.overlapping(place, OVERLAP))
    if not len(rows):
        return -1
    shares = np.concatenate((frame.shares[rows], place[None]))
    ratings = np.append(looks.ratings(frame.row_looks[rows]), own) + looks.votes(frame.features, shares)
    best = int(ratings[:-1].argmax())
    return int(rows[best]) if ratings[best] >= ratings[-1] + MIN_GAIN else -1


def _elsewhere(search: _Search, frame: MaskFrame, own: float, taken: Mapping[int, float]) -> int:
    """Return the row that a target is found in anywhere; -1 if there is none."""
    ratings = search.looks.ratings(frame.row_looks)
    is_possible = (ratings >= DOUBTFUL_RATING) & ~search.looks.are_others(frame.row_looks, frame.track_ids)
    for row, other in taken.items():
        # The row of another target, unless this one looks like it as much: two prompts may mean one object.
        is_possible[row] &= ratings[row] >= other - SAME_RATING
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
