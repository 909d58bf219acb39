"""Which objects are parts of which, so that a visible whole can substitute for a part that is not detected.

PartRelation   one part and one possible whole, over the frames in which both were visible
PartRelations  the relations of all targets of a source
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.appearance import MIN_COSINE
from streamseg.prompting.history import FrameRecord, Observation, mask_areas, shares_inside
from streamseg.structures.arrays import Float32Array, Float64Array

__all__ = ["MIN_INSIDE", "PartRelation", "PartRelations", "box_side"]

MIN_INSIDE: Final = 0.8
"""Minimum fraction of a part's mask on its whole's, in one frame: networks' outlines are that inaccurate."""
MIN_AREA_RATIO: Final = 1.3
"""Minimum area of a whole relative to its part. An object that is hardly larger is the same object, detected twice."""

MIN_ATTACHED_SHARE: Final = 0.9
"""Minimum fraction of the frames with both objects in which the part is attached to its whole."""
MIN_FRAMES: Final = 5
"""Minimum number of frames with both objects for a decision."""
OFFSET_SECONDS: Final = 1.0
"""Time constant with which the offset of a part on its whole adapts: people turn and bend."""
OFFSET_TOLERANCE: Final = (0.5, 0.1)
"""Maximum deviation from that offset, in sizes of the part plus sizes of the whole. Boxes of walking people jitter."""
MIN_TRAVEL: Final = 1.0
"""Minimum common travel, in sizes of the part, that confirms a relation: an object that only lies on another may be
taken away."""
MIN_RETURN_SECONDS: Final = 0.3
"""Minimum absence of a part whose return to its place confirms a relation as well."""

SUBSTITUTION_RATIO: Final = 3.0
"""Maximum duration for which a whole substitutes for its part, relative to the time that both were seen together."""
MAX_SUBSTITUTION_SECONDS: Final = 30.0
"""Maximum duration of a substitution: worn or carried objects have been put down by then."""
MAX_RESTING_SUBSTITUTION_SECONDS: Final = 1.0
"""Maximum duration of a substitution in an unconfirmed relation: enough for the frames that a network misses."""

EMBEDDING_INTERVAL_SECONDS: Final = 0.5
"""Interval at which an embedding of the whole is stored."""
MAX_EMBEDDINGS: Final = 4
"""Maximum number of stored embeddings of a whole: the first and the latest ones."""
RELATION_MEMORY_SECONDS: Final = 60.0
"""A relation that was not seen for longer is forgotten when another one begins."""
MAX_INITIAL_FRAMES: Final = 12
"""Maximum number of frames before a prompt that are evaluated."""


@dataclass
class PartRelation:
    """A part and its possible whole, over the frames in which both were visible."""

    first_seconds: float
    """Time of the first of those frames."""
    first_centre: tuple[float, float]
    """Centre (x, y) of the part in the first of those frames."""
    offset: tuple[float, float]
    """Offset (x, y) of the part's centre from the whole's, in sizes of the whole; adapts over time."""
    last_seconds: float
    """Time of the last of those frames."""
    num_frames: int = 0
    num_attached: int = 0
    """Number of frames in which the part was on the whole, at its place."""
    is_attached: bool = False
    """True if the part was attached in the last of those frames."""
    is_missing: bool = False
    """True if the whole was visible without its part since."""
    is_confirmed: bool = False
    """True once both have travelled together, or the part has returned to its place."""
    embeddings: list[Float32Array] = field(default_factory=list)
    """Embeddings (D,) of the whole in some of those frames, oldest first."""
    embedded_seconds: float = float("-inf")
    """Time of the latest embedding."""

    @classmethod
    def start(cls, part: Float64Array, whole: Float64Array, time_seconds: float) -> PartRelation:
        """Return a relation without frames, for the boxes (4,) xyxy of its first frame, which is to be added next."""
        centre = (part[:2] + part[2:]) / 2
        x, y = (centre - (whole[:2] + whole[2:]) / 2) / box_side(whole)
        return cls(time_seconds, (float(centre[0]), float(centre[1])), (float(x), float(y)), time_seconds)

    def add(self, part: Float64Array, whole: Float64Array, share: float, time_seconds: float) -> None:
        """Add a frame with the boxes (4,) xyxy of both, and the fraction of the part that is inside the whole."""
        size, whole_size = box_side(part), box_side(whole)
        centre = (part[:2] + part[2:]) / 2
        offset = (centre - (whole[:2] + whole[2:]) / 2) / whole_size
        deviation = float(np.hypot(*(offset - self.offset)))
        by_part, by_whole = OFFSET_TOLERANCE
        self.is_attached = share >= MIN_INSIDE and deviation <= by_part * size / whole_size + by_whole
        elapsed = max(time_seconds - self.last_seconds, 0.0)
        if self.is_attached:
            travel = float(np.hypot(*(centre - self.first_centre)))
            self.is_confirmed |= travel >= MIN_TRAVEL * size or (self.is_missing and elapsed >= MIN_RETURN_SECONDS)
        weight = float(np.exp(-elapsed / OFFSET_SECONDS))
        x, y = weight * np.array(self.offset) + (1 - weight) * offset
        self.offset = float(x), float(y)
        self.last_seconds, self.is_missing = time_seconds, False
        self.num_frames += 1
        self.num_attached += self.is_attached

    def add_embedding(self, embedding: Float32Array, time_seconds: float) -> None:
        """Store an embedding of the whole, at intervals while the part is attached."""
        if self.is_attached and time_seconds - self.embedded_seconds >= EMBEDDING_INTERVAL_SECONDS:
            if len(self.embeddings) == MAX_EMBEDDINGS:
                del self.embeddings[1]
            self.embeddings.append(embedding)
            self.embedded_seconds = time_seconds

    def mark_missing(self) -> None:
        """Record a frame in which the whole is visible but the part is not."""
        self.is_missing = True

    @property
    def is_part(self) -> bool:
        """True if one object is a part of the other, according to the frames so far."""
        is_often = self.num_frames >= MIN_FRAMES and self.num_attached >= MIN_ATTACHED_SHARE * self.num_frames
        return is_often and self.is_attached

    def can_substitute(self, time_seconds: float) -> bool:
        """Return whether the whole, visible at this time, substitutes for its part, which is not visible."""
        together = self.last_seconds - self.first_seconds
        limit = MAX_SUBSTITUTION_SECONDS if self.is_confirmed else MAX_RESTING_SUBSTITUTION_SECONDS
        longest = min(SUBSTITUTION_RATIO * together, limit)
        return self.is_part and time_seconds - self.last_seconds <= longest

    def resembles_whole(self, embedding: Float32Array) -> bool:
        """Return whether an object looks like the whole; True if no embedding of the whole is known."""
        return not self.embeddings or float(np.max(np.stack(self.embeddings) @ embedding)) >= MIN_COSINE


class PartRelations:
    """The relations of the targets of one source to their possible wholes.

    Targets are identified by a part id of the caller's choice, wholes by track id.
    """

    def __init__(self) -> None:
        self._relations: dict[int, dict[int, PartRelation]] = {}

    @property
    def part_ids(self) -> Set[int]:
        """The known targets."""
        return self._relations.keys()

    def retain(self, part_ids: Collection[int]) -> None:
        """Forget all other targets."""
        if len(self._relations) > len(part_ids) or not self._relations.keys() <= set(part_ids):
            self._relations = {one: relations for one, relations in self._relations.items() if one in part_ids}

    def start(self, part_id: int, observations: Sequence[Observation]) -> None:
        """Start a target with its observations so far, oldest first; may be empty."""
        self._relations[part_id] = {}
        count = min(len(observations), MAX_INITIAL_FRAMES)
        for position in np.linspace(0, len(observations) - 1, count).astype(int).tolist():
            record, row = observations[position]
            self.update(record, {part_id: row})

    def update(self, record: FrameRecord, rows: Mapping[int, int]) -> None:
        """Add a frame.

        Args:
            record: the frame.
            rows: row by part id of the targets that are visible in it; may be empty.
        """
        if not rows:
            return
        boxes = record.boxes.astype(np.float64)
        areas = mask_areas(boxes, record.mask_logits.reshape(len(boxes), -1) > 0)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        pairs: list[tuple[int, int, int]] = []  # part id, its row, row of the other object
        for part_id, row in rows.items():
            known = self._relations.setdefault(part_id, {})
            may_contain = (boxes[:, :2] <= centres[row]).all(axis=1) & (boxes[:, 2:] >= centres[row]).all(axis=1)
            may_contain &= areas > MIN_AREA_RATIO * areas[row]
            for track_id, other in record.rows.items():
                if other != row and (may_contain[other] or track_id in known):
                    pairs.append((part_id, row, other))
        if not pairs:
            return
        shares = shares_inside(record, [row for _, row, _ in pairs], [other for *_, other in pairs])
        for (part_id, row, other), share in zip(pairs, shares.tolist(), strict=True):
            self._add(part_id, record, row, other, share)

    def substitute(self, part_id: int, record: FrameRecord, allowed: Collection[int] | None = None) -> int:
        """Return the track id of the smallest whole that substitutes for a target; -1 if no whole does.

        Args:
            part_id: the target.
            record: the newest frame, in which the target is not visible.
            allowed: allowed track ids; None for all.
        """
        visible = [one for one in self._relations.get(part_id, {}).items() if one[0] in record.rows]
        for _, relation in visible:
            relation.mark_missing()
        able = [
            track_id
            for track_id, relation in visible
            if relation.can_substitute(record.time_seconds)
            and _resembles_whole(relation, record, record.rows[track_id])
        ]
        if allowed is not None:
            able = [track_id for track_id in able if track_id in allowed]
        return min(able, key=lambda track_id: box_side(record.boxes[record.rows[track_id]]), default=-1)

    def is_plausible(self, part_id: int, record: FrameRecord, row: int, whole_row: int) -> bool:
        """Return whether a row can be a lost target: a part that moved with its whole must be on it again.

        Args:
            part_id: the target.
            record: the newest frame.
            row: the row in question.
            whole_row: row of the whole that substitutes for the target, which must contain the row; -1 if none does.
        """
        if whole_row >= 0:
            return float(shares_inside(record, [row], [whole_row])[0]) >= MIN_INSIDE
        relations = [one for one in self._relations.get(part_id, {}).values() if one.is_part and one.is_confirmed]
        if not relations:
            return True
        others = [other for other in range(len(record.boxes)) if other != row]
        inside = shares_inside(record, [row] * len(others), others) >= MIN_INSIDE
        return any(
            _resembles_whole(relation, record, other)
            for other, is_inside in zip(others, inside.tolist(), strict=True)
            if is_inside
            for relation in relations
        )

    def _add(self, part_id: int, record: FrameRecord, row: int, other: int, share: float) -> None:
        relations, track_id, time_seconds = self._relations[part_id], record.track_ids[other], record.time_seconds
        part_box, whole_box = record.boxes[row].astype(np.float64), record.boxes[other].astype(np.float64)
        relation = relations.get(track_id)
        if relation is None:
            if share < MIN_INSIDE:
                return
            relation = relations[track_id] = PartRelation.start(part_box, whole_box, time_seconds)
            expired = [
                one for one, known in relations.items() if time_seconds - known.last_seconds > RELATION_MEMORY_SECONDS
            ]
            for one in expired:
                del relations[one]
        relation.add(part_box, whole_box, share, time_seconds)
        if record.embeddings is not None:
            relation.add_embedding(record.embeddings[other], time_seconds)


def _resembles_whole(relation: PartRelation, record: FrameRecord, row: int) -> bool:
    return record.embeddings is None or relation.resembles_whole(record.embeddings[row])


def box_side(box: npt.NDArray[np.floating]) -> float:
    """Return the side of a square with the area of a box (4,) xyxy, at least 1."""
    return max(math.sqrt(float((box[2] - box[0]) * (box[3] - box[1]))), 1.0)
