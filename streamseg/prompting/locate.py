"""Where the objects of prompts are in each frame: seen, bridged, found again, or answered for by their whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.appearance import Appearance, Galleries, appearance_of
from streamseg.prompting.history import FirstSeen, FrameHistory, FrameRecord
from streamseg.prompting.parts import PartRelations
from streamseg.prompting.reid import LostTarget, reidentify
from streamseg.prompting.target import Hypothesis, Target, carry
from streamseg.structures.instances import TENTATIVE

__all__ = ["BRIDGED_CONFIDENCE", "TargetLocator"]

BRIDGED_CONFIDENCE: Final = 0.9
"""Of an identity that began where another ended."""

LONG_AGO: Final = float("-inf")
"""When something was seen whose clock is not known any more."""


class TargetLocator:
    """Of the objects that the prompts about one source are bound to."""

    def __init__(self) -> None:
        self.galleries = Galleries()
        """What the objects look like; replaced when identities start afresh."""
        self._births = FirstSeen()
        self._relations = PartRelations()
        self._bridges: list[Hypothesis] = []
        self._lost: dict[tuple[int, int], LostTarget] = {}
        self._next_key = TENTATIVE - 1

    def recall(self, target: Target, appearance: Appearance) -> None:
        """Bind to an object of which no more is known than its looks, from another run."""
        self._await(target, appearance, () if appearance.embeddings is None else tuple(appearance.embeddings))

    def restart(self, targets: Iterable[Target], history: FrameHistory) -> None:
        """The identities start afresh: the objects are lost, and are known again by their looks alone.

        Args:
            bindings: of all prompts; those that are bound to nothing stay so.
            sightings: the last frames with the identities so far.
        """
        galleries, self.galleries = self.galleries, Galleries()
        for target in targets:
            hypothesis, target.bridge, target.whole_id = target.hypothesis, None, TENTATIVE
            if hypothesis is None:
                continue
            known = galleries.get(hypothesis.track_id)
            appearance = _looks(target, history, galleries.matched_seconds(hypothesis.track_id))
            target.position, target.matched_id = 0, TENTATIVE
            self._await(target, appearance, known.views if known is not None else ())
        self._births, self._relations, self._bridges, self._lost = FirstSeen(), PartRelations(), [], {}

    def rows(
        self, targets: Mapping[str, Target], history: FrameHistory, before: FrameRecord | None, record: FrameRecord
    ) -> dict[str, int]:
        """The row of what answers for each binding in the newest frame; -1 for nothing.

        Args:
            bindings: by prompt id.
            sightings: the last frames, the newest among them.
            before: the frame before the newest; None where that is the first one.
            sighting: the newest frame; once for each.
        """
        self._births.update(record.rows.keys(), record.time_seconds)
        rows = self._seen(targets, history, record)
        self._gather(targets, rows, history, record)
        if before is not None:
            self._bridge(targets, rows, history, before, record)
        self._search(targets, rows, history, record)
        return rows

    def _await(self, target: Target, appearance: Appearance | None, views: Sequence[npt.NDArray[np.float32]]) -> None:
        """Bind to an object under an identity that nobody could have."""
        self.galleries.begin(self._next_key, views)
        target.appearance = replace(appearance, seen_seconds=LONG_AGO) if appearance is not None else None
        target.hypotheses = [Hypothesis(self._next_key)]
        self._next_key -= 1

    def _seen(self, targets: Mapping[str, Target], history: FrameHistory, record: FrameRecord) -> dict[str, int]:
        """The row of each binding's object in the newest frame; -1 where it is not seen."""
        rows, rejected = {}, dict[tuple[int, int], frozenset[int]]()
        for prompt_id, target in targets.items():
            hypothesis = target.hypothesis
            if hypothesis is None or hypothesis.track_id == TENTATIVE:
                rows[prompt_id] = target.row_in(record)
                continue
            ids = hypothesis.track_id, target.matched_id
            if ids not in rejected:
                known = self.galleries.of(ids[0], history, target.evaluated_seconds)
                rejected[ids] = known.reject(record, ids)
            rows[prompt_id] = target.row_in(record, rejected[ids])
            target.is_rejected = bool(rejected[ids]) and rows[prompt_id] < 0
        if len(self.galleries) > len(rejected):
            self.galleries.keep(key for key, _ in rejected)
        return rows

    def _gather(
        self, targets: Mapping[str, Target], rows: Mapping[str, int], history: FrameHistory, record: FrameRecord
    ) -> None:
        """What the objects that are seen are parts of. They go by their own identity, whatever they were found as."""
        parts = {}
        for prompt_id, target in targets.items():
            hypothesis = target.hypothesis
            if hypothesis is None or hypothesis.track_id == TENTATIVE:
                continue
            parts[hypothesis.track_id] = rows[prompt_id]
            if rows[prompt_id] >= 0:
                target.whole_id = TENTATIVE
        self._relations.keep(parts)
        for part in parts.keys() - self._relations.parts:
            # The newest frame is among the sightings, and comes below.
            self._relations.begin(part, history.of(part)[:-1])
        self._relations.update(record, {part: row for part, row in parts.items() if row >= 0})

    def _bridge(
        self,
        targets: Mapping[str, Target],
        rows: dict[str, int],
        history: FrameHistory,
        before: FrameRecord,
        after: FrameRecord,
    ) -> None:
        """Answers with what lies where an object was a frame ago, and is not known as anything else.

        A tracker that does not know an object again, because its mask has changed a lot, starts another track for it,
        which takes some frames to be given an identity.
        """
        started: dict[int, Hypothesis] = {}
        for prompt_id, target in targets.items():
            if rows[prompt_id] >= 0:
                target.bridge = None
            elif target.is_rejected:
                continue
            elif target.bridge is None and (row := target.row_before(before)) >= 0:
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
                target.appearance = _looks(target, history, self.galleries.matched_seconds(own_id))
                target.matched_id, target.bridge = bridge.track_id, None
                target.confidence *= BRIDGED_CONFIDENCE

    def _search(
        self, targets: Mapping[str, Target], rows: dict[str, int], history: FrameHistory, record: FrameRecord
    ) -> None:
        """Look for what is lost; where it is not found, for what may answer for it."""
        missing: dict[tuple[int, int], list[tuple[str, Target]]] = {}
        for prompt_id, row in rows.items():
            target = targets[prompt_id]
            hypothesis = target.hypothesis
            if row < 0 and hypothesis is not None:
                missing.setdefault((hypothesis.track_id, target.matched_id), []).append((prompt_id, target))
        lost = {key: self._lost.get(key) or self._waiting(key, same[0][1], history) for key, same in missing.items()}
        self._lost = {key: one for key, one in lost.items() if one is not None}
        found = reidentify(list(self._lost.values()), record, self._births)
        for (key, one), seen in zip(self._lost.items(), found, strict=True):
            for prompt_id, target in missing[key]:
                whole_row = self._stand_in(target, record)
                if seen is not None and self._relations.may_be(key[0], record, record.rows[seen.track_id], whole_row):
                    target.matched_id, target.appearance = seen.track_id, one.appearance
                    target.confidence *= seen.probability
                    rows[prompt_id], target.whole_id = record.rows[seen.track_id], TENTATIVE
                elif one.was_fleeting(record.time_seconds) and target.switch(record):
                    rows[prompt_id] = target.row_in(record)
                else:
                    rows[prompt_id] = whole_row

    def _stand_in(self, target: Target, record: FrameRecord) -> int:
        """The row of what answers for its object, which is not seen, because that is a part of it; else -1."""
        hypothesis = target.hypothesis
        if hypothesis is not None:
            target.whole_id = self._relations.stand_in(hypothesis.track_id, record, target.allowed_stand_ins())
        return record.rows.get(target.whole_id, -1)

    def _waiting(self, key: tuple[int, int], target: Target, history: FrameHistory) -> LostTarget | None:
        """A binding's object as it begins to be waited for; None where nothing is known of it."""
        appearance = _looks(target, history, self.galleries.matched_seconds(key[0]))
        if appearance is None:
            return None
        seen = history.of(target.matched_id if target.matched_id >= 0 else key[0])
        seen = [one for one in seen if one[0].time_seconds <= appearance.seen_seconds]
        lived_seconds = seen[-1][0].time_seconds - seen[0][0].time_seconds if seen else float("inf")
        return LostTarget(appearance, lived_seconds)


def _looks(target: Target, history: FrameHistory, until_seconds: float) -> Appearance | None:
    """What is known of its object; None where it has none that was seen."""
    hypothesis = target.hypothesis
    if hypothesis is None:
        return None
    track_id = target.matched_id if target.matched_id >= 0 else hypothesis.track_id
    return appearance_of(history, track_id, until_seconds, target.appearance)
