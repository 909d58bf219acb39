"""Prompts set by clicks and boxes, kept from the click until no frame reports them any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from streamseg.cli.window.pointing import Box, moved_points
from streamseg.errors import counted
from streamseg.pipeline import FrameResult

__all__ = ["CallOperation", "ClickedPrompt", "ClickedPrompts"]

SAME_SPOT_SHARE: Final = 1 / 60
"""Maximum distance of two clicks on the same spot, as a share of the image's shorter side."""


class CallOperation(Protocol):
    """Calls an operation of the control channel."""

    def __call__(self, name: str, args: dict[str, Any] | None = None) -> Any:
        """Return the operation's result; None if the operation is rejected."""
        ...


@dataclass(frozen=True)
class ClickedPrompt:
    """A prompt set in a window."""

    prompt_id: str
    source_id: str
    points: tuple[tuple[float, float], ...]
    """(x, y) in continuous pixels of the clicked frame; empty for a box prompt."""
    labels: tuple[int, ...]
    """One per point: 1 foreground, 0 background."""
    boxes: Mapping[int, Box]
    """Boxes of all tracks in the clicked frame, by track id."""

    def points_in(self, result: FrameResult) -> tuple[tuple[float, float], ...]:
        """Return the points in another frame: they move with the selected object."""
        status = result.message.prompt(self.prompt_id)
        selected = result.message.of(self.prompt_id)
        if status is None or not selected:
            return self.points
        return moved_points(self.points, self.boxes.get(status.track_id), selected[0].box)


class ClickedPrompts:
    """Turns clicks and boxes into prompts of the run, and keeps them.

    Args:
        call: calls an operation of the run. A rejected operation changes nothing.
        notify: shows a line of text to the user.
    """

    def __init__(self, call: CallOperation, notify: Callable[[str], None]) -> None:
        self._call = call
        self._notify = notify
        self._prompts: dict[str, ClickedPrompt] = {}
        self._reported: set[str] = set()
        self._num_prompts = 0

    def select(self, result: FrameResult, point: tuple[float, float]) -> None:
        """Set a point prompt; on the spot of an existing one, step to its next candidate instead."""
        reach = SAME_SPOT_SHARE * min(result.frame.size)
        for prompt in reversed(self._prompts_of(result.frame.source_id)):
            if len(prompt.points) == 1:
                x, y = prompt.points_in(result)[0]
                if max(abs(x - point[0]), abs(y - point[1])) <= reach:
                    self._call("prompts.step", {"id": prompt.prompt_id})
                    return
        self._set(result, self._unused_id(), {"points": [list(point)], "labels": [1]}, (point,), (1,))

    def exclude(self, result: FrameResult, point: tuple[float, float]) -> None:
        """Add a background point to the last point prompt of this source."""
        candidates = [prompt for prompt in self._prompts_of(result.frame.source_id) if prompt.points]
        if not candidates:
            self._notify("a background point needs a foreground point: click an object first")
            return
        prompt = candidates[-1]
        points, labels = (*prompt.points_in(result), point), (*prompt.labels, 0)
        values = {"points": [list(one) for one in points], "labels": list(labels)}
        self._set(result, prompt.prompt_id, values, points, labels)

    def enclose(self, result: FrameResult, box: Box) -> None:
        """Set a box prompt."""
        self._set(result, self._unused_id(), {"box": list(box)}, (), ())

    def clear(self) -> None:
        """Clear all prompts for specific objects, whoever set them; prompts for everything stay."""
        listed = self._call("prompts.list")
        kinds = {"points", "box", "mask", "text"}
        ids = [prompt["id"] for prompt in listed["prompts"] if not kinds.isdisjoint(prompt)] if listed else []
        if not ids:
            self._notify("no prompt to clear")
        elif self._call("prompts.clear", {"ids": ids}) is not None:
            self._prompts.clear()
            self._notify(f"cleared {', '.join(ids)}" if len(ids) <= 4 else f"cleared {counted(len(ids), 'prompt')}")

    def pending(self, source_id: str, reported: set[str]) -> tuple[ClickedPrompt, ...]:
        """Return the prompts that no frame has reported yet; forget those that are not reported any more.

        Args:
            source_id: source of the prompts.
            reported: ids of the prompts in the source's latest message.
        """
        prompts = self._prompts_of(source_id)
        for prompt in prompts:
            if prompt.prompt_id in reported:
                self._reported.add(prompt.prompt_id)
            elif prompt.prompt_id in self._reported:
                del self._prompts[prompt.prompt_id]  # another client cleared it
        return tuple(prompt for prompt in prompts if prompt.prompt_id not in self._reported)

    def _prompts_of(self, source_id: str) -> list[ClickedPrompt]:
        """Return the prompts of one source, the last one set at the end."""
        return [prompt for prompt in self._prompts.values() if prompt.source_id == source_id]

    def _set(
        self,
        result: FrameResult,
        prompt_id: str,
        values: dict[str, Any],
        points: tuple[tuple[float, float], ...],
        labels: tuple[int, ...],
    ) -> None:
        frame = result.frame
        prompt = {"id": prompt_id, "source": frame.source_id, "index": frame.index, **values}
        if self._call("prompts.set", {"prompts": [prompt]}) is None:
            return
        track_ids, boxes = result.tracked.track_ids.tolist(), result.tracked.instances.boxes.tolist()
        by_track = {track_id: tuple(box) for track_id, box in zip(track_ids, boxes, strict=True) if track_id >= 0}
        self._prompts.pop(prompt_id, None)  # so that it moves to the end
        self._prompts[prompt_id] = ClickedPrompt(prompt_id, frame.source_id, points, labels, by_track)

    def _unused_id(self) -> str:
        """Return an id used neither here before nor by another client's prompts."""
        listed = self._call("prompts.list")
        taken = {prompt["id"] for prompt in listed["prompts"]} if listed else set()
        while True:
            self._num_prompts += 1
            if (prompt_id := f"click-{self._num_prompts}") not in taken:
                return prompt_id
