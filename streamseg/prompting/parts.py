"""How much of one object's mask lies on another's, on the rasters that are kept of a frame."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.appearance import MIN_COSINE, Floats, Vector, mask_areas
from streamseg.prompting.history import SILHOUETTE_SIZE, FrameRecord
from streamseg.structures.instances import CORRECTION_MARGIN

__all__ = ["MIN_INSIDE", "PartRelation", "PartRelations", "box_side", "shares_inside"]

MIN_INSIDE: Final = 0.8
"""Share of a part's mask on its whole's in one picture: outlines of networks differ by that much."""
NUM_PLACES: Final = 12
"""Places per side of a mask at which two are compared."""


def shares_inside(record: FrameRecord, parts: Sequence[int], wholes: Sequence[int]) -> Floats:
    """Which shares (P,) of the masks of P rows lie on the masks of P other rows; 0 of an empty mask."""
    step = SILHOUETTE_SIZE // NUM_PLACES
    rasters = record.rasters
    first = rasters[np.array(parts, dtype=np.intp), step // 2 :: step, step // 2 :: step] > 0  # (P, N, N)
    boxes, others = record.boxes[list(parts)], record.boxes[list(wholes)]
    widened = 1 + 2 * CORRECTION_MARGIN
    places = ((np.arange(NUM_PLACES) * step + step // 2) + 0.5) / SILHOUETTE_SIZE * widened - CORRECTION_MARGIN
    columns, rows = (_cells(boxes, others, places, axis) for axis in (0, 1))  # (P, N) each
    within = ((columns >= 0) & (columns < SILHOUETTE_SIZE))[:, None, :] & ((rows >= 0) & (rows < SILHOUETTE_SIZE))[
        :, :, None
    ]
    columns, rows = (cells.clip(0, SILHOUETTE_SIZE - 1) for cells in (columns, rows))
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
    cells: npt.NDArray[np.intp] = np.floor(
        (shares + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * SILHOUETTE_SIZE
    ).astype(np.intp)
    return cells


MIN_SHARE_OF_FRAMES: Final = 0.9
"""Of the pictures with both in which the part has to be on its whole, at its place."""
MIN_FRAMES: Final = 5
"""Pictures with both that have to be there for a judgement."""
PLACE_SECONDS: Final = 1.0
"""Time constant with which the place of a part on its whole may change: people turn and bend."""
PLACE_TOLERANCE: Final = (0.5, 0.1)
"""In sizes of the part and of the whole: how far it may be from that place. Boxes of things that walk shake."""
MIN_TRAVEL: Final = 1.0
"""In sizes of the part: what has gone so far together belongs together, what only lies there may be taken away."""
MIN_RETURN_SECONDS: Final = 0.3
"""What is missed for longer and is found at its place again belongs there, too."""
PATIENCE: Final = 3.0
"""So many times as long as both were seen together the whole answers for its part."""
MAX_SECONDS: Final = 30.0
"""But no longer than this: what was worn or carried has been put down by then."""
MAX_RESTING_SECONDS: Final = 1.0
"""The same of what has only lain there: long enough for the frames that a network misses."""
VIEW_SECONDS: Final = 0.5
"""So often the looks of a whole are remembered."""
WHOLE_VIEWS: Final = 4
"""Of them so many, the first and the last ones."""


@dataclass
class PartRelation:
    """A part and what may be its whole, over the frames in which both were seen."""

    began_seconds: float
    start: tuple[float, float]
    """Centre of the part in the first of those frames."""
    place: tuple[float, float]
    """Where the part is on the whole: from centre to centre, in sizes of the whole."""
    seen_seconds: float
    num_frames: int = 0
    num_held: int = 0
    """Frames in which the part was on the whole, at its place."""
    is_held: bool = False
    """In the last of them."""
    is_missed: bool = False
    """The whole was seen without its part since."""
    is_proven: bool = False
    """They have gone some way together, or the part came back to its place."""
    views: list[Vector] = field(default_factory=list)
    """Embeddings of the whole, in some of those frames, oldest first."""
    viewed_seconds: float = float("-inf")
    """When the last of them was taken."""

    @classmethod
    def begin(cls, part: Floats, whole: Floats, time_seconds: float) -> PartRelation:
        """Before a first frame is added, in which both boxes (4,) xyxy are these."""
        centre = (part[:2] + part[2:]) / 2
        x, y = (centre - (whole[:2] + whole[2:]) / 2) / box_side(whole)
        return cls(time_seconds, (float(centre[0]), float(centre[1])), (float(x), float(y)), time_seconds)

    def add(self, part: Floats, whole: Floats, share: float, time_seconds: float) -> None:
        """One more frame: both boxes (4,) xyxy, and the share of the part that is inside."""
        size, whole_size = box_side(part), box_side(whole)
        centre = (part[:2] + part[2:]) / 2
        place = (centre - (whole[:2] + whole[2:]) / 2) / whole_size
        moved = float(np.hypot(*(place - self.place)))
        by_part, by_whole = PLACE_TOLERANCE
        self.is_held = share >= MIN_INSIDE and moved <= by_part * size / whole_size + by_whole
        elapsed = max(time_seconds - self.seen_seconds, 0.0)
        if self.is_held:
            travel = float(np.hypot(*(centre - self.start)))
            self.is_proven |= travel >= MIN_TRAVEL * size or (self.is_missed and elapsed >= MIN_RETURN_SECONDS)
        kept = float(np.exp(-elapsed / PLACE_SECONDS))
        x, y = kept * np.array(self.place) + (1 - kept) * place
        self.place = float(x), float(y)
        self.seen_seconds, self.is_missed = time_seconds, False
        self.num_frames += 1
        self.num_held += self.is_held

    def view(self, embedding: Vector, time_seconds: float) -> None:
        """Remember what the whole looks like, every now and then while the part is held."""
        if self.is_held and time_seconds - self.viewed_seconds >= VIEW_SECONDS:
            if len(self.views) == WHOLE_VIEWS:
                del self.views[1]
            self.views.append(embedding)
            self.viewed_seconds = time_seconds

    def is_like(self, embedding: Vector) -> bool:
        """Whether something looks like the whole; yes, where that is not known."""
        return not self.views or float(np.max(np.stack(self.views) @ embedding)) >= MIN_COSINE

    @property
    def is_part(self) -> bool:
        """One is a part of the other, as far as they were seen."""
        is_often = self.num_frames >= MIN_FRAMES and self.num_held >= MIN_SHARE_OF_FRAMES * self.num_frames
        return is_often and self.is_held

    def miss(self) -> None:
        """The whole is seen, its part is not."""
        self.is_missed = True

    def stands_in(self, time_seconds: float) -> bool:
        """Whether the whole, which is seen at this time, answers for its part, which is not."""
        together = self.seen_seconds - self.began_seconds
        longest = min(PATIENCE * together, MAX_SECONDS if self.is_proven else MAX_RESTING_SECONDS)
        return self.is_part and time_seconds - self.seen_seconds <= longest


def box_side(box: npt.NDArray[np.floating]) -> float:
    """Side of a square of the box's area, 1 at least."""
    return max(math.sqrt(float((box[2] - box[0]) * (box[3] - box[1]))), 1.0)


MIN_AREA_RATIO: Final = 1.3
"""What is hardly larger is the same thing, seen twice."""
PART_MEMORY_SECONDS: Final = 60.0
"""What was not seen with an object for longer is no whole of it any more, once another may be one."""
MAX_HISTORY: Final = 12
"""Of the pictures before a prompt came, so many are looked at."""


class PartRelations:
    """What the objects of prompts are parts of. Objects have a number each, of the caller's choice."""

    def __init__(self) -> None:
        self._pairs: dict[int, dict[int, PartRelation]] = {}

    @property
    def parts(self) -> Set[int]:
        """The objects that are known."""
        return self._pairs.keys()

    def keep(self, parts: Collection[int]) -> None:
        """Forget all others."""
        if len(self._pairs) > len(parts) or not self._pairs.keys() <= set(parts):
            self._pairs = {part: pairs for part, pairs in self._pairs.items() if part in parts}

    def begin(self, part: int, seen: Sequence[tuple[FrameRecord, int]]) -> None:
        """From the sightings of an object so far with its row in each, oldest first; none is fine."""
        self._pairs[part] = {}
        chosen = np.linspace(0, len(seen) - 1, min(len(seen), MAX_HISTORY)).astype(int).tolist()
        for position in chosen:
            record, row = seen[position]
            self.update(record, {part: row})

    def update(self, record: FrameRecord, rows: Mapping[int, int]) -> None:
        """Take in a frame in which these objects have these rows."""
        if not rows:
            return
        boxes = record.boxes.astype(np.float64)
        areas = mask_areas(boxes, record.rasters.reshape(len(boxes), -1) > 0)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        pairs: list[tuple[int, int, int]] = []  # object, its row, row of the other
        for part, row in rows.items():
            known = self._pairs.setdefault(part, {})
            around = (boxes[:, :2] <= centres[row]).all(axis=1) & (boxes[:, 2:] >= centres[row]).all(axis=1)
            around &= areas > MIN_AREA_RATIO * areas[row]
            for identity, other in record.rows.items():
                if other != row and (around[other] or identity in known):
                    pairs.append((part, row, other))
        if not pairs:
            return
        shares = shares_inside(record, [row for _, row, _ in pairs], [other for *_, other in pairs])
        for (part, row, other), share in zip(pairs, shares.tolist(), strict=True):
            self._add(part, record, row, other, share)

    def stand_in(self, part: int, record: FrameRecord, allowed: Collection[int] | None = None) -> int:
        """The identity that answers for an object that is not seen: the smallest that may; -1 where there is none.

        Args:
            part: the object.
            sighting: the newest frame, without it.
            allowed: identities that may answer; None for all.
        """
        time_seconds = record.time_seconds
        seen = [one for one in self._pairs.get(part, {}).items() if one[0] in record.rows]
        for _, pair in seen:
            pair.miss()
        able = [
            identity
            for identity, pair in seen
            if pair.stands_in(time_seconds) and _is_like(pair, record, record.rows[identity])
        ]
        if allowed is not None:
            able = [identity for identity in able if identity in allowed]
        return min(able, key=lambda identity: box_side(record.boxes[record.rows[identity]]), default=-1)

    def may_be(self, part: int, record: FrameRecord, row: int, whole_row: int) -> bool:
        """Whether a row could be an object that is looked for: what went along with a whole is found on it again.

        Args:
            part: the object.
            sighting: the newest frame.
            row: what could be it.
            whole_row: what stands in for it, of which it is a part then; -1 for nothing.
        """
        if whole_row >= 0:
            return float(shares_inside(record, [row], [whole_row])[0]) >= MIN_INSIDE
        wholes = [one for one in self._pairs.get(part, {}).values() if one.is_part and one.is_proven]
        if not wholes:
            return True
        others = [other for other in range(len(record.boxes)) if other != row]
        inside = shares_inside(record, [row] * len(others), others) >= MIN_INSIDE
        return any(
            _is_like(whole, record, other)
            for other, is_inside in zip(others, inside.tolist(), strict=True)
            if is_inside
            for whole in wholes
        )

    def _add(self, part: int, record: FrameRecord, row: int, other: int, share: float) -> None:
        pairs, identity, time_seconds = self._pairs[part], record.track_ids[other], record.time_seconds
        part_box, whole_box = record.boxes[row].astype(np.float64), record.boxes[other].astype(np.float64)
        pair = pairs.get(identity)
        if pair is None:
            if share < MIN_INSIDE:
                return
            pair = pairs[identity] = PartRelation.begin(part_box, whole_box, time_seconds)
            for old in [one for one, known in pairs.items() if time_seconds - known.seen_seconds > PART_MEMORY_SECONDS]:
                del pairs[old]
        pair.add(part_box, whole_box, share, time_seconds)
        if record.embeddings is not None:
            pair.view(record.embeddings[other], time_seconds)


def _is_like(pair: PartRelation, record: FrameRecord, row: int) -> bool:
    return record.embeddings is None or pair.is_like(record.embeddings[row])
