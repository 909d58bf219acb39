"""Where the objects of prompts are in each frame: seen, bridged, found again, or answered for by their whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.appearance import Looks, looks_of
from streamseg.prompting.births import Births
from streamseg.prompting.history import Sighting, Sightings
from streamseg.prompting.likeness import Likenesses
from streamseg.prompting.parts import Wholes
from streamseg.prompting.reid import Lost, reacquire
from streamseg.prompting.target import Binding, Candidate, carry
from streamseg.structures.instances import TENTATIVE

__all__ = ["BRIDGED_CONFIDENCE", "Whereabouts"]

BRIDGED_CONFIDENCE: Final = 0.9
"""Of an identity that began where another ended."""

LONG_AGO: Final = float("-inf")
"""When something was seen whose clock is not known any more."""


class Whereabouts:
    """Of the objects that the prompts about one source are bound to."""

    def __init__(self) -> None:
        self.likenesses = Likenesses()
        """What the objects look like; replaced when identities start afresh."""
        self._births = Births()
        self._wholes = Wholes()
        self._bridges: list[Candidate] = []
        self._lost: dict[tuple[int, int], Lost] = {}
        self._next_key = TENTATIVE - 1

    def recall(self, binding: Binding, looks: Looks) -> None:
        """Bind to an object of which no more is known than its looks, from another run."""
        self._await(binding, looks, () if looks.embeddings is None else tuple(looks.embeddings))

    def restart(self, bindings: Iterable[Binding], sightings: Sightings) -> None:
        """The identities start afresh: the objects are lost, and are known again by their looks alone.

        Args:
            bindings: of all prompts; those that are bound to nothing stay so.
            sightings: the last frames with the identities so far.
        """
        likenesses, self.likenesses = self.likenesses, Likenesses()
        for binding in bindings:
            candidate, binding.bridge, binding.whole_id = binding.candidate, None, TENTATIVE
            if candidate is None:
                continue
            known = likenesses.get(candidate.track_id)
            looks = _looks(binding, sightings, likenesses.alike_seconds(candidate.track_id))
            binding.position, binding.found_id = 0, TENTATIVE
            self._await(binding, looks, known.views if known is not None else ())
        self._births, self._wholes, self._bridges, self._lost = Births(), Wholes(), [], {}

    def rows(
        self, bindings: Mapping[str, Binding], sightings: Sightings, before: Sighting | None, sighting: Sighting
    ) -> dict[str, int]:
        """The row of what answers for each binding in the newest frame; -1 for nothing.

        Args:
            bindings: by prompt id.
            sightings: the last frames, the newest among them.
            before: the frame before the newest; None where that is the first one.
            sighting: the newest frame; once for each.
        """
        self._births.update(sighting.rows.keys(), sighting.time_seconds)
        rows = self._seen(bindings, sightings, sighting)
        self._gather(bindings, rows, sightings, sighting)
        if before is not None:
            self._bridge(bindings, rows, sightings, before, sighting)
        self._search(bindings, rows, sightings, sighting)
        return rows

    def _await(self, binding: Binding, looks: Looks | None, views: Sequence[npt.NDArray[np.float32]]) -> None:
        """Bind to an object under an identity that nobody could have."""
        self.likenesses.begin(self._next_key, views)
        binding.looks = replace(looks, seen_seconds=LONG_AGO) if looks is not None else None
        binding.candidates = [Candidate(self._next_key)]
        self._next_key -= 1

    def _seen(self, bindings: Mapping[str, Binding], sightings: Sightings, sighting: Sighting) -> dict[str, int]:
        """The row of each binding's object in the newest frame; -1 where it is not seen."""
        rows, denied = {}, dict[tuple[int, int], frozenset[int]]()
        for prompt_id, binding in bindings.items():
            candidate = binding.candidate
            if candidate is None or candidate.track_id == TENTATIVE:
                rows[prompt_id] = binding.row_in(sighting)
                continue
            ids = candidate.track_id, binding.found_id
            if ids not in denied:
                known = self.likenesses.of(ids[0], sightings, binding.asked_seconds)
                denied[ids] = known.deny(sighting, ids)
            rows[prompt_id] = binding.row_in(sighting, denied[ids])
            binding.is_denied = bool(denied[ids]) and rows[prompt_id] < 0
        if len(self.likenesses) > len(denied):
            self.likenesses.keep(key for key, _ in denied)
        return rows

    def _gather(
        self, bindings: Mapping[str, Binding], rows: Mapping[str, int], sightings: Sightings, sighting: Sighting
    ) -> None:
        """What the objects that are seen are parts of. They go by their own identity, whatever they were found as."""
        parts = {}
        for prompt_id, binding in bindings.items():
            candidate = binding.candidate
            if candidate is None or candidate.track_id == TENTATIVE:
                continue
            parts[candidate.track_id] = rows[prompt_id]
            if rows[prompt_id] >= 0:
                binding.whole_id = TENTATIVE
        self._wholes.keep(parts)
        for part in parts.keys() - self._wholes.parts:
            # The newest frame is among the sightings, and comes below.
            self._wholes.begin(part, sightings.of(part)[:-1])
        self._wholes.update(sighting, {part: row for part, row in parts.items() if row >= 0})

    def _bridge(
        self,
        bindings: Mapping[str, Binding],
        rows: dict[str, int],
        sightings: Sightings,
        before: Sighting,
        after: Sighting,
    ) -> None:
        """Answers with what lies where an object was a frame ago, and is not known as anything else.

        A tracker that does not know an object again, because its mask has changed a lot, starts another track for it,
        which takes some frames to be given an identity.
        """
        begun: dict[int, Candidate] = {}
        for prompt_id, binding in bindings.items():
            if rows[prompt_id] >= 0:
                binding.bridge = None
            elif binding.is_denied:
                continue
            elif binding.bridge is None and (row := binding.row_before(before)) >= 0:
                binding.bridge = begun.setdefault(row, Candidate(TENTATIVE, row))
        self._bridges += begun.values()
        carry(self._bridges, before, after)
        self._bridges = [one for one in self._bridges if one.row >= 0]
        for prompt_id, binding in bindings.items():
            bridge = binding.bridge
            if bridge is None or rows[prompt_id] >= 0:
                continue
            rows[prompt_id] = bridge.row_in(after)
            own_id = binding.candidate.track_id if binding.candidate is not None else TENTATIVE
            if rows[prompt_id] < 0 or self.likenesses.is_other(own_id, after, rows[prompt_id]):
                rows[prompt_id], binding.bridge = -1, None
            elif bridge.track_id != TENTATIVE:
                binding.looks = _looks(binding, sightings, self.likenesses.alike_seconds(own_id))
                binding.found_id, binding.bridge = bridge.track_id, None
                binding.confidence *= BRIDGED_CONFIDENCE

    def _search(
        self, bindings: Mapping[str, Binding], rows: dict[str, int], sightings: Sightings, sighting: Sighting
    ) -> None:
        """Look for what is lost; where it is not found, for what may answer for it."""
        missing: dict[tuple[int, int], list[tuple[str, Binding]]] = {}
        for prompt_id, row in rows.items():
            binding = bindings[prompt_id]
            candidate = binding.candidate
            if row < 0 and candidate is not None:
                missing.setdefault((candidate.track_id, binding.found_id), []).append((prompt_id, binding))
        lost = {key: self._lost.get(key) or self._waiting(key, same[0][1], sightings) for key, same in missing.items()}
        self._lost = {key: one for key, one in lost.items() if one is not None}
        found = reacquire(list(self._lost.values()), sighting, self._births)
        for (key, one), seen in zip(self._lost.items(), found, strict=True):
            for prompt_id, binding in missing[key]:
                whole_row = self._stand_in(binding, sighting)
                if seen is not None and self._wholes.may_be(key[0], sighting, sighting.rows[seen.track_id], whole_row):
                    binding.found_id, binding.looks = seen.track_id, one.looks
                    binding.confidence *= seen.probability
                    rows[prompt_id], binding.whole_id = sighting.rows[seen.track_id], TENTATIVE
                elif one.was_fleeting(sighting.time_seconds) and binding.leave(sighting):
                    rows[prompt_id] = binding.row_in(sighting)
                else:
                    rows[prompt_id] = whole_row

    def _stand_in(self, binding: Binding, sighting: Sighting) -> int:
        """The row of what answers for its object, which is not seen, because that is a part of it; else -1."""
        candidate = binding.candidate
        if candidate is not None:
            binding.whole_id = self._wholes.stand_in(candidate.track_id, sighting, binding.may_be_answered_by())
        return sighting.rows.get(binding.whole_id, -1)

    def _waiting(self, key: tuple[int, int], binding: Binding, sightings: Sightings) -> Lost | None:
        """A binding's object as it begins to be waited for; None where nothing is known of it."""
        looks = _looks(binding, sightings, self.likenesses.alike_seconds(key[0]))
        if looks is None:
            return None
        seen = sightings.of(binding.found_id if binding.found_id >= 0 else key[0])
        seen = [one for one in seen if one[0].time_seconds <= looks.seen_seconds]
        lived_seconds = seen[-1][0].time_seconds - seen[0][0].time_seconds if seen else float("inf")
        return Lost(looks, lived_seconds)


def _looks(binding: Binding, sightings: Sightings, until_seconds: float) -> Looks | None:
    """What is known of its object; None where it has none that was seen."""
    candidate = binding.candidate
    if candidate is None:
        return None
    track_id = binding.found_id if binding.found_id >= 0 else candidate.track_id
    return looks_of(sightings, track_id, until_seconds, binding.looks)
