"""What is compared: two ways to go on with the row that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streamseg.prompting import PromptTracker
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import MaskPrompt

__all__ = ["FOLLOWERS", "Answers", "Following", "TrackOnly"]


class Answers(Protocol):
    """What is compared."""

    def answers(self, tracked: Tracked, asked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Row by prompt; `asked` are the rows that are meant by new ones."""


class TrackOnly:
    """The row that answered, as long as the tracker knows it."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def answers(self, tracked: Tracked, asked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Row by prompt; `asked` are the rows that are meant by new ones."""
        ids = tracked.track_ids.tolist()
        for name, row in asked.items():
            if self._ids.get(name, -1) < 0:
                self._ids[name] = ids[row]
        return {name: ids.index(identity) for name, identity in self._ids.items() if identity >= 0 and identity in ids}


class Following:
    """The prompt follower, asked with the mask of the row."""

    def __init__(self) -> None:
        self._follower = PromptTracker()
        self._prompts: tuple[MaskPrompt, ...] = ()

    def answers(self, tracked: Tracked, asked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Row by prompt; `asked` are the rows that are meant by new ones."""
        known = {prompt.prompt_id for prompt in self._prompts}
        rows = {name: row for name, row in asked.items() if name not in known}
        masks = instance_masks(tracked.instances, list(rows.values()))
        self._prompts += tuple(MaskPrompt(name, mask) for name, mask in zip(rows, masks, strict=True) if mask.area)
        selections = self._follower.update(tracked, self._prompts, frame_index=index, time_seconds=time_seconds)
        return {one.prompt_id: one.rows[0] for one in selections if one.rows}


FOLLOWERS: dict[str, Callable[[], Answers]] = {"track id": TrackOnly, "prompt": Following}
