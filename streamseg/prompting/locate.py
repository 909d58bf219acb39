"""Locate the targets of a source in each frame.

A target is located by its track id, else by the object that has appeared in its place, else by re-identification, else
by the whole that it is a part of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from streamseg.prompting.appearance import Appearance, Galleries, appearance_of
from streamseg.prompting.history import FirstSeen, FrameHistory, FrameRecord
from streamseg.prompting.parts import PartRelations
from streamseg.prompting.reid import LostTarget, reidentify, row_log_odds
from streamseg.prompting.target import Hypothesis, Target, carry
from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.instances import TENTATIVE

__all__ = ["BRIDGED_CONFIDENCE", "TargetLocator"]

BRIDGED_CONFIDENCE: Final = 0.9
"""Confidence factor of a track that began where the target's track ended."""

UNKNOWN_PAST: Final = float("-inf")
"""Time of an observation from before the tracks started afresh, because its clock is unknown."""


class TargetLocator:
    """Locate the targets of one source, frame by frame."""

    def __init__(self) -> None:
        self.galleries = Galleries()
        """Embeddings of the targets, by their own track id; replaced when the tracks start afresh."""
        self._first_seen = FirstSeen()
        self._parts = PartRelations()
        self._bridges: list[Hypothesis] = []
        self._lost: dict[tuple[int, int], LostTarget] = {}
        """Lost targets by their own track id and the one under which they were re-identified."""
        self._next_placeholder = TENTATIVE - 1
        self._newest: tuple[FrameHistory, FrameRecord] | None = None
        """The history and the newest frame; None before the first one."""

    def search_for(self, target: Target, appearance: Appearance) -> None:
        """Search for a target of an earlier run, of which only the appearance is known."""
        self._search_by_appearance(
            target, appearance, () if appearance.embeddings is None else tuple(appearance.embeddings)
        )

    def restart(self, targets: Iterable[Target], history: FrameHistory) -> None:
        """Mark the targets as lost, because the tracks start afresh; they are re-identified by appearance alone.

        Args:
            targets: the targets of all prompts; those without hypotheses stay as they are.
            history: the last frames with the track ids so far.
        """
        galleries, self.galleries = self.galleries, Galleries()
        for target in targets:
            hypothesis, target.bridge, target.whole_id = target.hypothesis, None, TENTATIVE
            if hypothesis is None:
                continue
            gallery = galleries.get(hypothesis.track_id)
            appearance = _appearance(target, history, galleries.verified_seconds(hypothesis.track_id))
            target.position, target.matched_id = 0, TENTATIVE
            self._search_by_appearance(target, appearance, gallery.views if gallery is not None else ())
        self._first_seen, self._parts, self._bridges, self._lost = FirstSeen(), PartRelations(), [], {}
        self._newest = None

    def rows(
        self, targets: Mapping[str, Target], history: FrameHistory, before: FrameRecord | None, record: FrameRecord
    ) -> dict[str, int]:
        """Return the row that is selected for each target in the newest frame; -1 if it is not found.

        Args:
            targets: targets by prompt id.
            history: the last frames, including the newest.
            before: the frame before the newest; None if the newest is the first one.
            record: the newest frame; pass each frame once.
        """
        self._newest = history, record
        self._first_seen.update(record.rows.keys(), record.time_seconds)
        rows = self._rows_by_track_id(targets, history, record)
        self._update_parts(targets, rows, history, record)
        if before is not None:
            self._bridge(targets, rows, history, before, record)
        self._search(targets, rows, history, record)
        return rows

    def log_odds(self, target: Target) -> Float64Array | None:
        """Return the log odds (K,) that each row of the newest frame is a target; None if it has not been seen before.

        For targets that are not visible, or whose track is something else.
        """
        if target.hypothesis is None or self._newest is None:
            return None
        ids, (history, record) = (target.hypothesis.track_id, target.matched_id), self._newest
        lost = self._lost.get(ids)
        if lost is not None:
            return lost.log_odds
        found = self._lost_target(ids, target, history)
        return row_log_odds([found.appearance], record)[0] if found is not None else None

    def _search_by_appearance(
        self, target: Target, appearance: Appearance | None, views: Sequence[Float32Array]
    ) -> None:
        """Bind a target to a placeholder track id, which no tracker assigns, so that it counts as lost."""
        self.galleries.start(self._next_placeholder, views)
        target.appearance = replace(appearance, seen_seconds=UNKNOWN_PAST) if appearance is not None else None
        target.hypotheses = [Hypothesis(self._next_placeholder)]
        self._next_placeholder -= 1

    def _rows_by_track_id(
        self, targets: Mapping[str, Target], history: FrameHistory, record: FrameRecord
    ) -> dict[str, int]:
        """Return the row of each target's track in the newest frame; -1 if it is not visible or is another object."""
        rows, rejected = {}, dict[tuple[int, int], frozenset[int]]()
        for prompt_id, target in targets.items():
            hypothesis = target.hypothesis
            if hypothesis is None or hypothesis.track_id == TENTATIVE:
                rows[prompt_id] = target.row_in(record)
                continue
            ids = hypothesis.track_id, target.matched_id
            if ids not in rejected:
                gallery = self.galleries.get_or_start(ids[0], history, target.evaluated_seconds)
                rejected[ids] = gallery.reject(record, ids)
            rows[prompt_id] = target.row_in(record, rejected[ids])
            target.is_rejected = bool(rejected[ids]) and rows[prompt_id] < 0
        if len(self.galleries) > len(rejected):
            self.galleries.retain(own_id for own_id, _ in rejected)
        return rows

    def _update_parts(
        self, targets: Mapping[str, Target], rows: Mapping[str, int], history: FrameHistory, record: FrameRecord
    ) -> None:
        """Update the part relations. Part ids are the targets' own track ids, also after re-identification."""
        parts = {}
        for prompt_id, target in targets.items():
            hypothesis = target.hypothesis
            if hypothesis is None or hypothesis.track_id == TENTATIVE:
                continue
            parts[hypothesis.track_id] = rows[prompt_id]
            if rows[prompt_id] >= 0:
                target.whole_id = TENTATIVE
        self._parts.retain(parts)
        for part_id in parts.keys() - self._parts.part_ids:
            # The newest frame is the last observation; it is added below.
            self._parts.start(part_id, history.observations(part_id)[:-1])
        self._parts.update(record, {part_id: row for part_id, row in parts.items() if row >= 0})

    def _bridge(
        self,
        targets: Mapping[str, Target],
        rows: dict[str, int],
        history: FrameHistory,
        before: FrameRecord,
        after: FrameRecord,
    ) -> None:
        """Select the object in a target's place of one frame ago, if it is not known as another object.

        If a mask changes a lot, a tracker loses the object and starts another track for it, which takes some frames to
        receive a track id.
        """
        started: dict[int, Hypothesis] = {}
        for prompt_id, target in targets.items():
            if rows[prompt_id] >= 0:
                target.bridge = None
            elif target.is_rejected:
                continue
            elif target.bridge is None and (row := target.previous_row(before)) >= 0:
                target.bridge = started.setdefault(row, Hypothesis(TENTATIVE, row))
        self._bridges += started.values()
        carry(self._bridges, before, after)
        self._bridges = [one for one in self._bridges if one.row >= 0]
        for prompt_id, target in targets.items():
            bridge = target.bridge
            if bridge is None or rows[prompt_id] >= 0:
                continue
            rows[prompt_id] = bridge.row_in(after)
            own_id = target.hypothesis.track_id if target.hypothesis is not None else TENTATIVE
            if rows[prompt_id] < 0 or self.galleries.is_other(own_id, after, rows[prompt_id]):
                rows[prompt_id], target.bridge = -1, None
            elif bridge.track_id != TENTATIVE:
                target.appearance = _appearance(target, history, self.galleries.verified_seconds(own_id))
                target.matched_id, target.bridge = bridge.track_id, None
                target.confidence *= BRIDGED_CONFIDENCE

    def _search(
        self, targets: Mapping[str, Target], rows: dict[str, int], history: FrameHistory, record: FrameRecord
    ) -> None:
        """Search for the lost targets; select a substitute for those that are not found."""
        missing: dict[tuple[int, int], list[tuple[str, Target]]] = {}
        for prompt_id, row in rows.items():
            target = targets[prompt_id]
            hypothesis = target.hypothesis
            if row < 0 and hypothesis is not None:
                missing.setdefault((hypothesis.track_id, target.matched_id), []).append((prompt_id, target))
        lost = {
            ids: self._lost.get(ids) or self._lost_target(ids, entries[0][1], history)
            for ids, entries in missing.items()
        }
        self._lost = {ids: one for ids, one in lost.items() if one is not None}
        matches = reidentify(list(self._lost.values()), record, self._first_seen)
        for (ids, one), match in zip(self._lost.items(), matches, strict=True):
            for prompt_id, target in missing[ids]:
                whole_row = self._substitute_row(target, record)
                if match is not None and self._parts.is_plausible(
                    ids[0], record, record.rows[match.track_id], whole_row
                ):
                    target.matched_id, target.appearance = match.track_id, one.appearance
                    target.confidence *= match.probability
                    rows[prompt_id], target.whole_id = record.rows[match.track_id], TENTATIVE
                elif one.is_spurious(record.time_seconds) and target.select_next(record):
                    rows[prompt_id] = target.row_in(record)
                else:
                    rows[prompt_id] = whole_row

    def _substitute_row(self, target: Target, record: FrameRecord) -> int:
        """Return the row of the whole that substitutes for a target that is not visible; -1 if none does."""
        hypothesis = target.hypothesis
        if hypothesis is not None:
            target.whole_id = self._parts.substitute(hypothesis.track_id, record, target.allowed_wholes())
        return record.rows.get(target.whole_id, -1)

    def _lost_target(self, ids: tuple[int, int], target: Target, history: FrameHistory) -> LostTarget | None:
        """Return a target whose search begins; None if its appearance is unknown."""
        appearance = _appearance(target, history, self.galleries.verified_seconds(ids[0]))
        if appearance is None:
            return None
        gallery = self.galleries.get(ids[0])
        if gallery is not None and gallery.views:
            appearance = replace(appearance, gallery=np.stack(gallery.views))
        observations = history.observations(target.matched_id if target.matched_id >= 0 else ids[0])
        times = [one.time_seconds for one, _ in observations if one.time_seconds <= appearance.seen_seconds]
        return LostTarget(appearance, times[-1] - times[0] if times else float("inf"))


def _appearance(target: Target, history: FrameHistory, until_seconds: float) -> Appearance | None:
    """Return the appearance of a target up to a time; None if it was never seen."""
    hypothesis = target.hypothesis
    if hypothesis is None:
        return None
    track_id = target.matched_id if target.matched_id >= 0 else hypothesis.track_id
    return appearance_of(history, track_id, until_seconds, target.appearance)
