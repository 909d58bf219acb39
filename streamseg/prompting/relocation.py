"""Doubt what propagation and tracks show at a target's place, and find the target elsewhere, by what it looks like.

Frames may be far apart: a target moves beyond the reach of propagation, is hidden, or comes back. What is at its place
then does not look like it, while some other instance does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.prompting.looks import mean_features
from streamseg.prompting.mask_frame import MaskFrame
from streamseg.prompting.search import (
    DOUBTFUL_RATING,
    NOTHING,
    OVERLAP,
    Search,
    better_row,
    evident_row,
    row_elsewhere,
)
from streamseg.structures.arrays import Float32Array, Float64Array

__all__ = ["Relocator", "Verdict"]

LEARNING_INTERVAL: Final = 5
"""Number of frames with a target of which one is used for its looks, after the first two ones."""
LEARNING_DELAY: Final = 3
"""Number of learnt frames that are not used after a target was found elsewhere, in case it is something else."""
MAX_SEARCHES: Final = 4
"""Maximum number of targets that are searched for in one frame, because each search takes a millisecond; they take
turns."""

VOUCHED_RATING: Final = 0.5
"""Minimum rating of a target that its track vouches for; below it, the track has switched to something else."""
MAX_AREA_RATIO: Final = 2.0
"""Maximum ratio of the areas of the boxes of a track, from one frame to the next, that vouches for its target."""


@dataclass(frozen=True)
class Verdict:
    """What is known about the place of a doubtful target."""

    row: int
    """Row of the target; -1 if it is not found."""
    is_elsewhere: bool = True
    """False if the row is an instance at the target's place."""
    is_vouched: bool = False
    """True if the row, which is seen there, does not look like the target, but its track did."""


class Relocator:
    """The looks of the targets of one source."""

    def __init__(self) -> None:
        self._searches: dict[str, Search] = {}

    def retain(self, target_ids: Collection[str]) -> None:
        """Forget all targets except these."""
        self._searches = {one: search for one, search in self._searches.items() if one in target_ids}

    def forget(self, target_id: str) -> None:
        """Forget one target, which is another object from now on."""
        del self._searches[target_id]

    def verdicts(
        self,
        places: Mapping[str, Float32Array | None],
        rows: Mapping[str, int],
        confirmed: Collection[str],
        frame: MaskFrame,
        log_odds: Callable[[str], Float64Array | None] = lambda _: None,
    ) -> dict[str, Verdict]:
        """Return verdicts on the targets that do not look like themselves, are not seen, or are seen better otherwise.

        Objects turn, and blur: what does not look like the target any more still is the target if its track, which is
        matched by boxes and embeddings, is the one that did, and if nothing elsewhere looks more like it.

        Args:
            places: by target id, how much of each cell (H, W), 0..1, belongs to what is seen at its place; None if
                nothing is seen.
            rows: by target id, the row that is seen there; -1 if it is none. Targets without a place look as they did.
            confirmed: ids of the targets whose place an instance agrees with; other instances there are not compared.
            frame: the newest frame; pass each frame once.
            log_odds: returns the log odds (K,), by other evidence, that each row is the target of an id; None if it has
                not been seen before.
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
                    search.own_id, search.own_area = frame.track_ids[row], frame.box_areas[row]
                    taken[row] = max(search.rating, taken.get(row, search.rating))
        due = [one for one in known if owns[one] < DOUBTFUL_RATING or one not in confirmed]
        due.sort(key=lambda one: -known[one].num_waiting)  # stable
        rows_found = dict[str, int]()
        for position, target_id in enumerate(due):
            search, place, own = known[target_id], seen.get(target_id), owns[target_id]
            if own < DOUBTFUL_RATING and (odds := log_odds(target_id)) is not None:
                row = evident_row(search, frame, own, taken, odds)
                if row >= 0:
                    rows_found[target_id] = row
                    continue
            search.num_waiting = 0 if position < MAX_SEARCHES else search.num_waiting + 1
            if search.num_waiting:
                continue
            if place is not None and own >= DOUBTFUL_RATING:
                rows_found[target_id] = better_row(search.looks, frame, place, own)
            else:
                rows_found[target_id] = row_elsewhere(search, frame, own, taken)
        verdicts = dict[str, Verdict]()
        for target_id, search in known.items():
            row = rows_found.get(target_id, -1)
            if owns[target_id] >= DOUBTFUL_RATING:
                search.likely_id, search.num_likely = -1, 0
            if row < 0 and owns[target_id] < DOUBTFUL_RATING and _is_vouched(search, frame, rows.get(target_id, -1)):
                verdicts[target_id] = Verdict(rows[target_id], is_elsewhere=False, is_vouched=True)
            elif row >= 0 or owns[target_id] < DOUBTFUL_RATING:
                is_elsewhere = owns[target_id] < DOUBTFUL_RATING
                search.num_delayed = LEARNING_DELAY if row >= 0 and is_elsewhere else search.num_delayed
                verdicts[target_id] = Verdict(row, is_elsewhere)
        return verdicts

    def rest(self, target_ids: Collection[str]) -> None:
        """Count a frame in which some targets are left to their tracks: they change in it, too."""
        for target_id in target_ids:
            if (search := self._searches.get(target_id)) is not None:
                search.num_passed += 1

    def learn(self, labels: Mapping[str, Float32Array], frame: MaskFrame) -> None:
        """Learn the looks of targets whose masks are certain in the newest frame, given as labels (H, W), 0..1."""
        due = dict[str, Search]()
        for target_id, label in labels.items():
            if not label.any():
                continue  # smaller than a cell
            search = self._searches.setdefault(target_id, Search(phase=len(self._searches) % LEARNING_INTERVAL))
            if search.num_delayed:
                search.num_delayed -= 1
                continue
            search.num_passed += 1
            if search.num_learnt >= 2 and search.num_passed < LEARNING_INTERVAL:
                continue
            search.num_learnt += 1
            search.num_passed = search.phase if search.num_learnt == 2 else 0
            due[target_id] = search
        looks = mean_features(frame.features, [labels[one] for one in due]) if due else ()
        for (target_id, search), look in zip(due.items(), looks, strict=True):
            search.looks.learn(look, frame.features, labels[target_id])
            beside = np.flatnonzero(~frame.overlapping(labels[target_id], OVERLAP)).tolist()
            search.looks.learn_others(frame.row_looks[beside], [frame.track_ids[row] for row in beside])


def _is_vouched(search: Search, frame: MaskFrame, row: int) -> bool:
    """Return whether the track of a row, -1 for none, vouches for a target that does not look like itself.

    If the area changes at once, the track has switched to a part of the target, or to its whole.
    """
    if row < 0 or search.own_id < 0 or frame.track_ids[row] != search.own_id or search.rating < VOUCHED_RATING:
        return False
    area = frame.box_areas[row]
    is_vouched = search.own_area <= MAX_AREA_RATIO * area and area <= MAX_AREA_RATIO * search.own_area
    if is_vouched:
        search.own_area = area
    return is_vouched
