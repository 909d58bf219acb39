"""Compared methods of keeping the row that a prompt selected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streamseg.prompting import PromptSet, PromptTracker
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import MaskPrompt

__all__ = ["METHODS", "Method", "TrackIdOnly", "TrackedPrompts"]


class Method(Protocol):
    """A compared method."""

    def select(self, tracked: Tracked, clicked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Return the selected row by prompt; `clicked` holds the rows meant by new prompts."""


class TrackIdOnly:
    """Keep the track_id of the clicked row as long as the tracker knows it."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def select(self, tracked: Tracked, clicked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Return the selected row by prompt; `clicked` holds the rows meant by new prompts."""
        ids = tracked.track_ids.tolist()
        for name, row in clicked.items():
            if self._ids.get(name, -1) < 0:
                self._ids[name] = ids[row]
        return {name: ids.index(identity) for name, identity in self._ids.items() if identity >= 0 and identity in ids}


class TrackedPrompts:
    """Run the prompt tracker with the mask of the clicked row as prompt."""

    def __init__(self) -> None:
        self._tracker = PromptTracker()
        self._prompts = PromptSet.of(())

    def select(self, tracked: Tracked, clicked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Return the selected row by prompt; `clicked` holds the rows meant by new prompts."""
        known = {prompt.prompt_id for prompt in self._prompts.prompts}
        rows = {name: row for name, row in clicked.items() if name not in known}
        masks = instance_masks(tracked.instances, list(rows.values()))
        added = [MaskPrompt(name, mask) for name, mask in zip(rows, masks, strict=True) if mask.area]
        if added:
            self._prompts = PromptSet.of((*self._prompts.prompts, *added))
        selections = self._tracker.update(tracked, self._prompts, frame_index=index, time_seconds=time_seconds)
        return {one.prompt_id: one.rows[0] for one in selections if one.rows}


METHODS: dict[str, Callable[[], Method]] = {"track id": TrackIdOnly, "prompt": TrackedPrompts}
"""Methods by their name in result files."""
