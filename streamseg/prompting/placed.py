"""Prompts that mean a place, and those for everything: asked of all sources, each with a follower of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamseg.errors import DataError
from streamseg.prompting.prompt_tracker import PromptTracker
from streamseg.prompting.select import select
from streamseg.prompting.status import status_of
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import EverythingPrompt, Selection, SpatialPrompt

__all__ = ["PlacedPrompts"]


class PlacedPrompts:
    """Answers the prompts about any source that are no texts. Not for two threads at once, but for `memory`.

    Args:
        are_followed: False: no object has an identity, so that each prompt is asked in each frame for itself.
        memory: what `memory` gave in an earlier run.

    Raises:
        DataError: the memory is damaged.
    """

    def __init__(self, *, are_followed: bool, memory: Mapping[str, object] | None = None) -> None:
        self._are_followed = are_followed
        self._followers: dict[str, PromptTracker] = {}
        self.remember(memory if memory is not None else {})

    def answers(
        self,
        source_id: str,
        tracked: Tracked,
        prompts: Sequence[EverythingPrompt | SpatialPrompt],
        *,
        frame_index: int,
        time_seconds: float,
    ) -> list[Selection]:
        """One Selection per prompt, in the prompts' order, each with its status, but for everything.

        Args:
            source_id: whose frame it is; the frames of a source come in order.
            tracked: the objects of the frame, K of them; 0 is fine.
            prompts: P of them, as `PromptTracker.update` takes them.
            frame_index: `Frame.index`.
            time_seconds: when the picture was taken, as the tracker was told.
        """
        if self._are_followed:
            follower = self._followers.get(source_id)
            if follower is None:
                follower = self._followers[source_id] = PromptTracker()
            return follower.update(tracked, prompts, frame_index=frame_index, time_seconds=time_seconds)
        track_ids = tracked.track_ids.tolist()
        return [
            selection if isinstance(prompt, EverythingPrompt) else status_of(selection, track_ids)
            for prompt, selection in zip(prompts, select(tracked, prompts), strict=True)
        ]

    def place(self, source_id: str, prompt: SpatialPrompt) -> SpatialPrompt:
        """Where a prompt is asked in the source's next frame while nothing answers it."""
        follower = self._followers.get(source_id)
        return follower.place(prompt) if follower is not None else prompt

    def end_source(self, source_id: str) -> None:
        """A source has ended: its prompts are lost, and look for their objects by their looks should it come back."""
        follower = self._followers.get(source_id)
        if follower is not None:
            follower.restart()

    def memory(self) -> dict[str, object]:
        """What is needed to find the prompts' objects again in another run: plain numbers, by source and prompt id.

        For JSON; from any thread.
        """
        return {source_id: follower.memory() for source_id, follower in tuple(self._followers.items())}

    def remember(self, memory: Mapping[str, object]) -> None:
        """Look for the objects of an earlier run's prompts: those of the same id that mean the same place.

        To be called before the first frame of the sources that it names; what they knew of their prompts is forgotten.

        Args:
            memory: what `memory` gave.

        Raises:
            DataError: it is something else; then nothing of it is taken.
        """
        if not isinstance(memory, Mapping):
            raise DataError(f"the memory of prompts must be a mapping of source ids, got {type(memory).__name__}")
        followers = {}
        for source_id, entries in memory.items():
            if not isinstance(source_id, str) or not isinstance(entries, Mapping):
                raise DataError(f"the memory of prompts must hold a mapping for each source, not so {source_id!r:.40}")
            followers[source_id] = PromptTracker(entries)
        self._followers.update(followers)
