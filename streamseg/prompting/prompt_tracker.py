"""Prompts that stay with their objects: asked once, on the frame that their sender saw, then answered by identity.

asked ─► tentative ─► bound ─► lost ─► bound          the tracker found the same identity again
                                └► reacquired     another identity, by motion, shape and looks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamseg.prompting.bindings import Bindings
from streamseg.prompting.history import Sighting, Sightings, sight
from streamseg.prompting.locate import Whereabouts
from streamseg.prompting.notes import Notes
from streamseg.prompting.select import select
from streamseg.prompting.status import answer, status_of
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import EverythingPrompt, Selection, SpatialPrompt

__all__ = ["PromptTracker"]


class PromptTracker:
    """Answers the prompts about one source. Frames come in order; not for two threads at once, but for `memory`.

    Args:
        memory: what `memory` gave in an earlier run, for the prompts that it names.

    Raises:
        DataError: the memory is damaged.
    """

    def __init__(self, memory: Mapping[str, object] | None = None) -> None:
        self._sightings = Sightings()
        self._newest: Sighting | None = None
        self._bindings = Bindings()
        self._whereabouts = Whereabouts()
        self._notes = Notes(memory or {})

    def update(
        self,
        tracked: Tracked,
        prompts: Sequence[EverythingPrompt | SpatialPrompt],
        *,
        frame_index: int,
        time_seconds: float,
    ) -> list[Selection]:
        """Answer the prompts in one frame.

        A prompt that follows is asked once, on the frame with its `frame_index` where that is among the last seconds
        (`sightings.HISTORY_SECONDS`), else on this one; where nothing answers, on each frame to come until something
        does. What goes before it has an identity is asked for where it was last. From then on the identity of that
        object answers. One with the id of an earlier prompt that differs in its `step` alone goes on to another object
        that the first could have meant; any other is asked afresh.

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
        before, self._newest = self._newest, sighting
        if before is not None:
            self._bindings.carry(before, sighting)
        self._sightings.add(sighting)
        for begun in self._bindings.synchronise(prompts, sighting):
            looks = self._notes.take(begun.prompt)
            if looks is not None:
                self._whereabouts.recall(begun, looks)
        self._bindings.ask(tracked, self._sightings)
        bindings = self._bindings.by_prompt_id
        rows = self._whereabouts.rows(bindings, self._sightings, before, sighting)
        self._note()
        others = [one for one in prompts if isinstance(one, EverythingPrompt) or not one.follow]
        answers = {
            id(one): status_of(selection, sighting.track_ids) if not isinstance(one, EverythingPrompt) else selection
            for one, selection in zip(others, select(tracked, others) if others else (), strict=True)
        }
        return [
            answers[id(one)]
            if id(one) in answers
            else answer(one.prompt_id, bindings[one.prompt_id], rows[one.prompt_id])
            for one in prompts
        ]

    def place(self, prompt: SpatialPrompt) -> SpatialPrompt:
        """Where a prompt is asked that nothing answers: moved along with what answered it, if anything did."""
        binding = self._bindings.by_prompt_id.get(prompt.prompt_id)
        return binding.place if binding is not None else prompt

    def restart(self) -> None:
        """The source's identities start afresh: what was bound is lost, and is known again by its looks alone."""
        self._bindings.restart()
        self._whereabouts.restart(self._bindings.by_prompt_id.values(), self._sightings)
        self._sightings = Sightings()  # another thread may still be reading the others
        self._newest = None
        self._note()

    def memory(self) -> dict[str, object]:
        """What is needed to find the prompts' objects again in another run: plain numbers by prompt id, for JSON.

        From any thread.
        """
        return self._notes.memory()

    def _note(self) -> None:
        self._notes.write(self._bindings.by_prompt_id.values(), self._sightings, self._whereabouts.likenesses)
