"""What the objects of prompts are parts of, and which of that answers for one that is not found.

The whole may answer for its part, a person for the shirt; the table may not answer for the cup.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Final

import numpy as np

from streamseg.prompting.appearance import mask_areas
from streamseg.prompting.containment import MIN_INSIDE, shares_inside
from streamseg.prompting.history import Sighting
from streamseg.prompting.parthood import Parthood, box_side

__all__ = ["Wholes"]

MIN_AREA_RATIO: Final = 1.3
"""What is hardly larger is the same thing, seen twice."""
FORGET_SECONDS: Final = 60.0
"""What was not seen with an object for longer is no whole of it any more, once another may be one."""
MAX_HISTORY: Final = 12
"""Of the pictures before a prompt came, so many are looked at."""


class Wholes:
    """What the objects of prompts are parts of. Objects have a number each, of the caller's choice."""

    def __init__(self) -> None:
        self._pairs: dict[int, dict[int, Parthood]] = {}

    @property
    def parts(self) -> Set[int]:
        """The objects that are known."""
        return self._pairs.keys()

    def keep(self, parts: Collection[int]) -> None:
        """Forget all others."""
        if len(self._pairs) > len(parts) or not self._pairs.keys() <= set(parts):
            self._pairs = {part: pairs for part, pairs in self._pairs.items() if part in parts}

    def begin(self, part: int, seen: Sequence[tuple[Sighting, int]]) -> None:
        """From the sightings of an object so far with its row in each, oldest first; none is fine."""
        self._pairs[part] = {}
        chosen = np.linspace(0, len(seen) - 1, min(len(seen), MAX_HISTORY)).astype(int).tolist()
        for position in chosen:
            sighting, row = seen[position]
            self.update(sighting, {part: row})

    def update(self, sighting: Sighting, rows: Mapping[int, int]) -> None:
        """Take in a frame in which these objects have these rows."""
        if not rows:
            return
        boxes = sighting.boxes.astype(np.float64)
        areas = mask_areas(boxes, sighting.rasters.reshape(len(boxes), -1) > 0)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        pairs: list[tuple[int, int, int]] = []  # object, its row, row of the other
        for part, row in rows.items():
            known = self._pairs.setdefault(part, {})
            around = (boxes[:, :2] <= centres[row]).all(axis=1) & (boxes[:, 2:] >= centres[row]).all(axis=1)
            around &= areas > MIN_AREA_RATIO * areas[row]
            for identity, other in sighting.rows.items():
                if other != row and (around[other] or identity in known):
                    pairs.append((part, row, other))
        if not pairs:
            return
        shares = shares_inside(sighting, [row for _, row, _ in pairs], [other for *_, other in pairs])
        for (part, row, other), share in zip(pairs, shares.tolist(), strict=True):
            self._add(part, sighting, row, other, share)

    def stand_in(self, part: int, sighting: Sighting, allowed: Collection[int] | None = None) -> int:
        """The identity that answers for an object that is not seen: the smallest that may; -1 where there is none.

        Args:
            part: the object.
            sighting: the newest frame, without it.
            allowed: identities that may answer; None for all.
        """
        time_seconds = sighting.time_seconds
        seen = [one for one in self._pairs.get(part, {}).items() if one[0] in sighting.rows]
        for _, pair in seen:
            pair.miss()
        able = [
            identity
            for identity, pair in seen
            if pair.stands_in(time_seconds) and _is_like(pair, sighting, sighting.rows[identity])
        ]
        if allowed is not None:
            able = [identity for identity in able if identity in allowed]
        return min(able, key=lambda identity: box_side(sighting.boxes[sighting.rows[identity]]), default=-1)

    def may_be(self, part: int, sighting: Sighting, row: int, whole_row: int) -> bool:
        """Whether a row could be an object that is looked for: what went along with a whole is found on it again.

        Args:
            part: the object.
            sighting: the newest frame.
            row: what could be it.
            whole_row: what stands in for it, of which it is a part then; -1 for nothing.
        """
        if whole_row >= 0:
            return float(shares_inside(sighting, [row], [whole_row])[0]) >= MIN_INSIDE
        wholes = [one for one in self._pairs.get(part, {}).values() if one.is_part and one.is_proven]
        if not wholes:
            return True
        others = [other for other in range(len(sighting.boxes)) if other != row]
        inside = shares_inside(sighting, [row] * len(others), others) >= MIN_INSIDE
        return any(
            _is_like(whole, sighting, other)
            for other, is_inside in zip(others, inside.tolist(), strict=True)
            if is_inside
            for whole in wholes
        )

    def _add(self, part: int, sighting: Sighting, row: int, other: int, share: float) -> None:
        pairs, identity, time_seconds = self._pairs[part], sighting.track_ids[other], sighting.time_seconds
        part_box, whole_box = sighting.boxes[row].astype(np.float64), sighting.boxes[other].astype(np.float64)
        pair = pairs.get(identity)
        if pair is None:
            if share < MIN_INSIDE:
                return
            pair = pairs[identity] = Parthood.begin(part_box, whole_box, time_seconds)
            for old in [one for one, known in pairs.items() if time_seconds - known.seen_seconds > FORGET_SECONDS]:
                del pairs[old]
        pair.add(part_box, whole_box, share, time_seconds)
        if sighting.embeddings is not None:
            pair.view(sighting.embeddings[other], time_seconds)


def _is_like(pair: Parthood, sighting: Sighting, row: int) -> bool:
    return sighting.embeddings is None or pair.is_like(sighting.embeddings[row])
