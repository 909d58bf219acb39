"""Prompts that stay with their objects: asked once, on the frame that their sender saw, then answered by identity.

asked ─► tentative ─► bound ─► lost ─► bound          the tracker found the same identity again
                                └► reacquired     another identity, by motion, shape and looks
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from streamseg.prompting.binding import TENTATIVE, Binding, Candidate, carry, inner_point, is_step
from streamseg.prompting.births import Births
from streamseg.prompting.likeness import Likenesses
from streamseg.prompting.looks import Looks, looks_of
from streamseg.prompting.memory import Remembered, fingerprint, parse_memory, to_json
from streamseg.prompting.reacquisition import Lost, reacquire
from streamseg.prompting.select import nested, select
from streamseg.prompting.sightings import Sighting, Sightings, sight
from streamseg.prompting.status import answer, status_of
from streamseg.prompting.wholes import Wholes
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import EverythingPrompt, LocatedPrompt, Selection

__all__ = ["PromptFollower"]

_Note = tuple[LocatedPrompt, int, int, float, Looks | None]
"""A prompt, its object's identity, the one under which that was found again, when it last looked like itself, and its
looks before it was found again."""
BRIDGED_CONFIDENCE = 0.9
"""Of an identity that began where another ended."""

LONG_AGO = float("-inf")
"""When something was seen whose clock is not known any more."""


class PromptFollower:
    """Answers the prompts about one source. Frames come in order; not for two threads at once, but for `memory`.

    Args:
        memory: what `memory` gave in an earlier run, for the prompts that it names.

    Raises:
        DataError: the memory is damaged.
    """

    def __init__(self, memory: Mapping[str, object] | None = None) -> None:
        self._sightings = Sightings()
        self._births = Births()
        self._wholes = Wholes()
        self._likenesses = Likenesses()
        self._newest: Sighting | None = None
        self._prompts: Sequence[EverythingPrompt | LocatedPrompt] = ()
        self._bindings: dict[str, Binding] = {}
        self._pending: list[Candidate] = []
        self._lost: dict[tuple[int, int], Lost] = {}
        self._remembered = parse_memory(memory or {})
        self._next_key = TENTATIVE - 1
        self._noted: tuple[dict[str, Remembered], Sightings, tuple[_Note, ...]] = (
            self._remembered,
            self._sightings,
            (),
        )

    def update(
        self,
        tracked: Tracked,
        prompts: Sequence[EverythingPrompt | LocatedPrompt],
        *,
        frame_index: int,
        time_seconds: float,
    ) -> list[Selection]:
        """Answer the prompts in one frame.

        A prompt that follows is asked once, on the frame with its `frame_index` where that is among the last seconds
        (`sightings.HISTORY_SECONDS`), else on this one; where nothing answers, on each frame to come until something
        does. From then on the identity of that object answers. One with the id of an earlier prompt that differs in
        its `step` alone goes on to another object that the first could have meant; any other is asked afresh.

        Args:
            tracked: the objects of the frame, K of them; 0 is fine.
            prompts: P of them; their ids differ. Hand over the same sequence while nothing changes: that costs least.
            frame_index: `Frame.index`.
            time_seconds: when the picture was taken, as the tracker was told.

        Returns:
            One Selection per prompt, in the prompts' order, each with its status, but for everything. The score of
            what is followed is its confidence.
        """
        sighting = sight(tracked, frame_index, time_seconds)
        before = self._newest
        if before is not None:
            self._carry(before, sighting)
        self._newest = sighting
        self._sightings.add(sighting)
        self._births.update(sighting.rows.keys(), time_seconds)
        self._synchronise(prompts, sighting)
        self._ask(tracked, sighting)
        followed = self._follow(before, sighting)
        self._note()
        others = [one for one in prompts if isinstance(one, EverythingPrompt) or not one.follow]
        answers = {
            id(one): status_of(selection, sighting.track_ids) if not isinstance(one, EverythingPrompt) else selection
            for one, selection in zip(others, select(tracked, others) if others else (), strict=True)
        }
        return [answers[id(one)] if id(one) in answers else followed[one.prompt_id] for one in prompts]

    def restart(self) -> None:
        """The source's identities start afresh: what was bound is lost, and is known again by its looks alone."""
        likenesses, self._likenesses = self._likenesses, Likenesses()
        for binding in self._bindings.values():
            candidate, binding.bridge, binding.whole_id = binding.candidate, None, TENTATIVE
            if candidate is None or candidate.track_id == TENTATIVE:
                binding.candidates = []
                continue
            known = likenesses.get(candidate.track_id)
            looks = self._looks(binding, likenesses.alike_seconds(candidate.track_id))
            binding.position, binding.found_id = 0, TENTATIVE
            binding.looks = replace(looks, seen_seconds=LONG_AGO) if looks is not None else None
            binding.candidates = [self._remembered_candidate(known.views if known is not None else ())]
        self._sightings = Sightings()  # another thread may still be reading the others
        self._births = Births()
        self._wholes = Wholes()
        self._newest, self._pending, self._lost = None, [], {}
        self._note()

    def memory(self) -> dict[str, object]:
        """What is needed to find the prompts' objects again in another run: plain numbers by prompt id, for JSON.

        From any thread.
        """
        remembered, sightings, notes = self._noted
        found = dict(remembered)
        for prompt, track_id, found_id, until_seconds, earlier in notes:
            looks = looks_of(sightings, found_id if found_id >= 0 else track_id, until_seconds, earlier)
            if looks is not None:
                found[prompt.prompt_id] = Remembered(fingerprint(prompt), prompt.step, looks)
        return to_json(found)

    def _note(self) -> None:
        """Replaces what `memory` reads as a whole, so that another thread never finds half of a change."""
        notes = [(one.prompt, one.candidate, one.found_id, one.looks) for one in self._bindings.values()]
        self._noted = (
            dict(self._remembered),
            self._sightings,
            tuple(
                (prompt, one.track_id, found_id, self._likenesses.alike_seconds(one.track_id), looks)
                for prompt, one, found_id, looks in notes
                if one is not None
            ),
        )

    def _carry(self, before: Sighting, after: Sighting) -> None:
        """Those without an identity, from the last frame to this one."""
        if not self._pending:
            return
        carry(self._pending, before, after)
        any_gone = any(one.is_gone for one in self._pending)
        self._pending = [one for one in self._pending if one.row >= 0]
        if any_gone:
            for binding in self._bindings.values():
                binding.leave_gone(after)

    def _synchronise(self, prompts: Sequence[EverythingPrompt | LocatedPrompt], sighting: Sighting) -> None:
        """One binding for each prompt that follows."""
        if prompts is self._prompts:
            return
        self._prompts = prompts
        before, self._bindings = self._bindings, {}
        for prompt in prompts:
            if isinstance(prompt, EverythingPrompt) or not prompt.follow:
                continue
            binding = before.get(prompt.prompt_id)
            if binding is not None and is_step(binding.prompt, prompt):
                self._step(binding, prompt, sighting)
            elif binding is None or binding.prompt != prompt:
                binding = self._begin(prompt)
            self._bindings[prompt.prompt_id] = binding

    def _begin(self, prompt: LocatedPrompt) -> Binding:
        """For a prompt that was not there before, in this run at least."""
        binding = Binding(prompt)
        remembered = self._remembered.pop(prompt.prompt_id, None)
        if remembered is not None and remembered.is_of(prompt):
            views = remembered.looks.embeddings
            binding.candidates = [self._remembered_candidate(() if views is None else tuple(views))]
            binding.looks = replace(remembered.looks, seen_seconds=LONG_AGO)
        return binding

    def _remembered_candidate(self, views: Sequence[npt.NDArray[np.float32]]) -> Candidate:
        """An object without an identity that anybody could have, known by its looks."""
        key = self._next_key
        self._next_key -= 1
        self._likenesses.begin(key, views)
        return Candidate(key)

    def _step(self, binding: Binding, prompt: LocatedPrompt, sighting: Sighting) -> None:
        row = binding.row_in(sighting)
        others = [one for one in binding.candidates if one is not binding.candidate and one.row_in(sighting) >= 0]
        if row >= 0 and not others:
            # Of those that could have been meant only this one is left: what lies around it by now can be, too.
            rows = nested(sighting.tracked, [inner_point(prompt.prompt_id, sighting, row)])[0].rows
            if row in rows:
                found = self._candidates(sighting, rows)
                position = rows.index(row)
                if binding.candidate is not None:
                    found[position] = binding.candidate
                binding.candidates, binding.position = found, position
        binding.advance(prompt, sighting)

    def _ask(self, tracked: Tracked, sighting: Sighting) -> None:
        """Bind what is not bound yet, each on the frame that its sender saw."""
        positions: dict[int, list[Binding]] = {}
        newest = len(self._sightings) - 1
        for binding in self._bindings.values():
            if binding.candidates:
                continue
            position = None
            if not binding.is_asked and binding.prompt.frame_index is not None:
                position = self._sightings.position(binding.prompt.frame_index)
            binding.is_asked = True
            positions.setdefault(newest if position is None else position, []).append(binding)
        for position, bindings in positions.items():
            since = self._sightings.since(position)
            asked = tracked if position == newest else since[0].tracked
            selections = nested(asked, [binding.prompt for binding in bindings])
            # Several prompts may mean the same object: its candidate is shared, and carried once.
            rows = sorted({row for selection in selections for row in selection.rows})
            candidates = dict(zip(rows, self._candidates(since[0], rows, since), strict=True))
            for binding, selection in zip(bindings, selections, strict=True):
                if selection.rows:
                    binding.asked_seconds = since[0].time_seconds
                    binding.bind([candidates[row] for row in selection.rows])
                    binding.leave_gone(sighting)

    def _candidates(self, seen: Sighting, rows: Sequence[int], since: Sequence[Sighting] = ()) -> list[Candidate]:
        """Candidates of a frame's rows, those without an identity carried through the frames since to the newest."""
        candidates = [Candidate(seen.track_ids[row], row if seen.track_ids[row] == TENTATIVE else -1) for row in rows]
        for before, after in itertools.pairwise(since):
            carry(candidates, before, after)
        self._pending += [one for one in candidates if one.row >= 0]
        return candidates

    def _bridge(self, rows: dict[str, int], before: Sighting | None, after: Sighting) -> None:
        """Answers with what lies where an object was a frame ago, and is not known as anything else.

        A tracker that does not know an object again, because its mask has changed a lot, starts another track for it,
        which takes some frames to be given an identity.
        """
        begun: dict[int, Candidate] = {}
        for prompt_id, binding in self._bindings.items():
            if rows[prompt_id] >= 0:
                binding.bridge = None
            elif binding.is_denied:
                continue
            elif binding.bridge is None and before is not None and (row := binding.row_before(before)) >= 0:
                binding.bridge = begun.setdefault(row, Candidate(TENTATIVE, row))
        if before is not None and begun:
            carry(list(begun.values()), before, after)
            self._pending += [one for one in begun.values() if one.row >= 0]
        for prompt_id, binding in self._bindings.items():
            bridge = binding.bridge
            if bridge is None or rows[prompt_id] >= 0:
                continue
            rows[prompt_id] = bridge.row_in(after)
            own_id = binding.candidate.track_id if binding.candidate is not None else TENTATIVE
            if rows[prompt_id] < 0 or self._likenesses.is_other(own_id, after, rows[prompt_id]):
                rows[prompt_id], binding.bridge = -1, None
            elif bridge.track_id != TENTATIVE:
                binding.looks = self._looks(binding, self._likenesses.alike_seconds(own_id))
                binding.found_id, binding.bridge = bridge.track_id, None
                binding.confidence *= BRIDGED_CONFIDENCE

    def _follow(self, before: Sighting | None, sighting: Sighting) -> dict[str, Selection]:
        """The answer of each binding; looks for what is lost."""
        rows = self._seen(sighting)
        self._gather(rows, sighting)
        self._bridge(rows, before, sighting)
        missing: dict[tuple[int, int], list[tuple[str, Binding]]] = {}
        for prompt_id, row in rows.items():
            binding = self._bindings[prompt_id]
            candidate = binding.candidate
            if row < 0 and candidate is not None:
                missing.setdefault((candidate.track_id, binding.found_id), []).append((prompt_id, binding))
        lost = {key: self._lost.get(key) or self._waiting(key, bindings[0][1]) for key, bindings in missing.items()}
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
        return {prompt_id: answer(prompt_id, binding, rows[prompt_id]) for prompt_id, binding in self._bindings.items()}

    def _seen(self, sighting: Sighting) -> dict[str, int]:
        """The row of each binding's object in the newest frame; -1 where it is not seen."""
        rows, denied = {}, dict[tuple[int, int], frozenset[int]]()
        for prompt_id, binding in self._bindings.items():
            candidate = binding.candidate
            if candidate is None or candidate.track_id == TENTATIVE:
                rows[prompt_id] = binding.row_in(sighting)
                continue
            ids = candidate.track_id, binding.found_id
            if ids not in denied:
                known = self._likenesses.of(ids[0], self._sightings, binding.asked_seconds)
                denied[ids] = known.denied(sighting, ids)
            rows[prompt_id] = binding.row_in(sighting, denied[ids])
            binding.is_denied = bool(denied[ids]) and rows[prompt_id] < 0
        if len(self._likenesses) > len(denied):
            self._likenesses.keep(key for key, _ in denied)
        return rows

    def _gather(self, rows: Mapping[str, int], sighting: Sighting) -> None:
        """What the objects that are seen are parts of. They go by their own identity, whatever they were found as."""
        parts = {}
        for prompt_id, binding in self._bindings.items():
            candidate = binding.candidate
            if candidate is None or candidate.track_id == TENTATIVE:
                continue
            parts[candidate.track_id] = rows[prompt_id]
            if rows[prompt_id] >= 0:
                binding.whole_id = TENTATIVE
        self._wholes.keep(parts)
        for part in parts.keys() - self._wholes.parts:
            # The newest frame is among the sightings, and comes below.
            self._wholes.begin(part, self._sightings.of(part)[:-1])
        self._wholes.update(sighting, {part: row for part, row in parts.items() if row >= 0})

    def _stand_in(self, binding: Binding, sighting: Sighting) -> int:
        """The row of what answers for its object, which is not seen, because that is a part of it; else -1."""
        candidate = binding.candidate
        if candidate is not None:
            binding.whole_id = self._wholes.stand_in(candidate.track_id, sighting, binding.may_be_answered_by())
        return sighting.rows.get(binding.whole_id, -1)

    def _waiting(self, key: tuple[int, int], binding: Binding) -> Lost | None:
        """A binding's object as it begins to be waited for; None where nothing is known of it."""
        looks = self._looks(binding, self._likenesses.alike_seconds(key[0]))
        if looks is None:
            return None
        seen = self._sightings.of(binding.found_id if binding.found_id >= 0 else key[0])
        seen = [one for one in seen if one[0].time_seconds <= looks.seen_seconds]
        lived_seconds = seen[-1][0].time_seconds - seen[0][0].time_seconds if seen else float("inf")
        return Lost(looks, lived_seconds)

    def _looks(self, binding: Binding, until_seconds: float) -> Looks | None:
        """What is known of its object; None where it has none that was seen."""
        candidate = binding.candidate
        if candidate is None:
            return None
        track_id = binding.found_id if binding.found_id >= 0 else candidate.track_id
        return looks_of(self._sightings, track_id, until_seconds, binding.looks)
