"""The prompts that clicks and boxes set, from the click until no frame knows them any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from streamseg.cli.window.pointing import Box, moved_points
from streamseg.pipeline import FrameResult

__all__ = ["ClickedPrompt", "ClickedPrompts", "Do"]

SAME_SPOT_SHARE: Final = 1 / 60
"""Of the shorter side of a picture: clicks that are closer together mean the same spot."""


class Do(Protocol):
    """Has an operation of the control channel done."""

    def __call__(self, name: str, args: dict[str, Any] | None = None) -> Any:
        """What it answers; None where it is refused."""
        ...


@dataclass(frozen=True)
class ClickedPrompt:
    """A prompt that was set in a window."""

    prompt_id: str
    source_id: str
    points: tuple[tuple[float, float], ...]
    """None of them for a box."""
    labels: tuple[int, ...]
    boxes: Mapping[int, Box]
    """Of all identities in the picture that was clicked on, by track id."""

    def points_in(self, result: FrameResult) -> tuple[tuple[float, float], ...]:
        """Where the points are in another picture: they move with the object that answered."""
        status = result.message.prompt(self.prompt_id)
        answering = result.message.of(self.prompt_id)
        if status is None or not answering:
            return self.points
        return moved_points(self.points, self.boxes.get(status.track_id), answering[0].box)


class ClickedPrompts:
    """Turns clicks and boxes into prompts of the run, and remembers them.

    Args:
        do: has operations done; what it refuses leaves everything as it was.
        tell: shows a line to the person who clicks.
    """

    def __init__(self, do: Do, tell: Callable[[str], None]) -> None:
        self._do = do
        self._tell = tell
        self._prompts: dict[str, ClickedPrompt] = {}
        self._answered: set[str] = set()
        self._num_prompts = 0

    def select(self, result: FrameResult, point: tuple[float, float]) -> None:
        """A point prompt; on the spot of one that is there, the next object that it could mean."""
        reach = SAME_SPOT_SHARE * min(result.frame.size)
        for prompt in reversed(self._of(result.frame.source_id)):
            if len(prompt.points) == 1:
                x, y = prompt.points_in(result)[0]
                if max(abs(x - point[0]), abs(y - point[1])) <= reach:
                    self._do("prompts.step", {"id": prompt.prompt_id})
                    return
        self._set(result, self._free_id(), {"points": [list(point)], "labels": [1]}, (point,), (1,))

    def exclude(self, result: FrameResult, point: tuple[float, float]) -> None:
        """A background point for the last point prompt of this source."""
        own = [one for one in self._of(result.frame.source_id) if one.points]
        if not own:
            self._tell("a background point belongs to a point: click an object first")
            return
        prompt = own[-1]
        points, labels = (*prompt.points_in(result), point), (*prompt.labels, 0)
        values = {"points": [list(one) for one in points], "labels": list(labels)}
        self._set(result, prompt.prompt_id, values, points, labels)

    def enclose(self, result: FrameResult, box: Box) -> None:
        """A box prompt."""
        self._set(result, self._free_id(), {"box": list(box)}, (), ())

    def clear(self) -> None:
        """Clear every prompt that means certain objects, whoever set it; those for everything stay."""
        listed = self._do("prompts.list")
        kinds = {"points", "box", "mask", "text"}
        ids = [prompt["id"] for prompt in listed["prompts"] if not kinds.isdisjoint(prompt)] if listed else []
        if not ids:
            self._tell("no prompt to clear")
        elif self._do("prompts.clear", {"ids": ids}) is not None:
            self._prompts.clear()
            self._tell(f"cleared {', '.join(ids)}" if len(ids) <= 4 else f"cleared {len(ids)} prompts")

    def unanswered(self, source_id: str, known: set[str]) -> tuple[ClickedPrompt, ...]:
        """The prompts that no frame has known yet; those that are known no more are forgotten.

        Args:
            source_id: whose prompts.
            known: prompts of its latest frame, by id.
        """
        prompts = self._of(source_id)
        for prompt in prompts:
            if prompt.prompt_id in known:
                self._answered.add(prompt.prompt_id)
            elif prompt.prompt_id in self._answered:
                del self._prompts[prompt.prompt_id]  # another client cleared it
        return tuple(one for one in prompts if one.prompt_id not in self._answered)

    def _of(self, source_id: str) -> list[ClickedPrompt]:
        """Those of one source, the last one set comes last."""
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
        if self._do("prompts.set", {"prompts": [prompt]}) is None:
            return
        track_ids, boxes = result.tracked.track_ids.tolist(), result.tracked.instances.boxes.tolist()
        by_identity = {track_id: tuple(box) for track_id, box in zip(track_ids, boxes, strict=True) if track_id >= 0}
        self._prompts.pop(prompt_id, None)  # so that it comes last
        self._prompts[prompt_id] = ClickedPrompt(prompt_id, frame.source_id, points, labels, by_identity)

    def _free_id(self) -> str:
        """A name that no prompt has or had here, and none that another client set has."""
        listed = self._do("prompts.list")
        taken = {prompt["id"] for prompt in listed["prompts"]} if listed else set()
        while True:
            self._num_prompts += 1
            if (prompt_id := f"click-{self._num_prompts}") not in taken:
                return prompt_id
