"""What each prompt is bound to: asked once, on the frame that its sender saw."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from streamseg.prompting.history import Sighting, Sightings
from streamseg.prompting.select import nested
from streamseg.prompting.target import Binding, Candidate, carry, inner_point, is_step
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.prompt import EverythingPrompt, SpatialPrompt

__all__ = ["Bindings"]


class Bindings:
    """One binding for each prompt about one source that follows."""

    def __init__(self) -> None:
        self._prompts: Sequence[EverythingPrompt | SpatialPrompt] = ()
        self._bindings: dict[str, Binding] = {}
        self._pending: list[Candidate] = []

    @property
    def by_prompt_id(self) -> Mapping[str, Binding]:
        """In the order of the prompts."""
        return self._bindings

    def restart(self) -> None:
        """The identities start afresh: what has none yet is found by nobody any more."""
        self._pending = []
        for binding in self._bindings.values():
            if binding.candidate is None or binding.candidate.track_id == TENTATIVE:
                binding.candidates = []

    def carry(self, before: Sighting, after: Sighting) -> None:
        """Those without an identity, from the last frame to this one."""
        if not self._pending:
            return
        carry(self._pending, before, after)
        any_gone = any(one.is_gone for one in self._pending)
        self._pending = [one for one in self._pending if one.row >= 0]
        if any_gone:
            for binding in self._bindings.values():
                binding.leave_gone(after)

    def synchronise(self, prompts: Sequence[EverythingPrompt | SpatialPrompt], sighting: Sighting) -> list[Binding]:
        """Begin, step and end bindings until they are those of these prompts.

        Args:
            prompts: P of them; their ids differ. The same sequence as before costs nothing.
            sighting: the newest frame.

        Returns:
            Those that begin, bound to nothing yet.
        """
        if prompts is self._prompts:
            return []
        self._prompts = prompts
        before, self._bindings = self._bindings, {}
        begun = []
        for prompt in prompts:
            if isinstance(prompt, EverythingPrompt) or not prompt.follow:
                continue
            binding = before.get(prompt.prompt_id)
            if binding is not None and is_step(binding.prompt, prompt):
                self._step(binding, prompt, sighting)
            elif binding is None or binding.prompt != prompt:
                binding = Binding(prompt)
                begun.append(binding)
            self._bindings[prompt.prompt_id] = binding
        return begun

    def ask(self, tracked: Tracked, sightings: Sightings) -> None:
        """Bind what is not bound yet, each on the frame that its sender saw.

        Args:
            tracked: the newest frame in full.
            sightings: the last frames, that one among them.
        """
        positions: dict[int, list[Binding]] = {}
        newest = len(sightings) - 1
        for binding in self._bindings.values():
            if binding.candidates:
                continue
            position = None
            if not binding.is_asked and binding.prompt.frame_index is not None:
                position = sightings.position(binding.prompt.frame_index)
            binding.is_asked = True
            positions.setdefault(newest if position is None else position, []).append(binding)
        for position, bindings in positions.items():
            since = sightings.since(position)
            asked = tracked if position == newest else since[0].tracked
            selections = nested(asked, [binding.place for binding in bindings])
            # Several prompts may mean the same object: its candidate is shared, and carried once.
            rows = sorted({row for selection in selections for row in selection.rows})
            candidates = dict(zip(rows, self._candidates(since, rows), strict=True))
            for binding, selection in zip(bindings, selections, strict=True):
                if selection.rows:
                    binding.asked_seconds = since[0].time_seconds
                    binding.bind([candidates[row] for row in selection.rows])
                    binding.leave_gone(since[-1])

    def _step(self, binding: Binding, prompt: SpatialPrompt, sighting: Sighting) -> None:
        row = binding.row_in(sighting)
        others = [one for one in binding.candidates if one is not binding.candidate and one.row_in(sighting) >= 0]
        if row >= 0 and not others:
            # Of those that could have been meant only this one is left: what lies around it by now can be, too.
            rows = nested(sighting.tracked, [inner_point(prompt.prompt_id, sighting, row)])[0].rows
            if row in rows:
                binding.renew(self._candidates([sighting], rows), rows.index(row), sighting, row)
        binding.advance(prompt, sighting)

    def _candidates(self, since: Sequence[Sighting], rows: Sequence[int]) -> list[Candidate]:
        """Candidates of a frame's rows, those without an identity carried through the frames since to the newest."""
        track_ids, boxes = since[0].track_ids, since[0].boxes
        candidates = [
            Candidate(track_ids[row], row if track_ids[row] == TENTATIVE else -1, first_box=boxes[row]) for row in rows
        ]
        for before, after in itertools.pairwise(since):
            carry(candidates, before, after)
        self._pending += [one for one in candidates if one.row >= 0]
        return candidates
