"""A window of `streamseg run --show`, on a screen that records the shown images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from streamseg.cli.window.screen import Event, Key, Pointer
from streamseg.cli.window.window import Window
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.runtime.stats import Ages, RunStats
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from tests.support.messages import make_message, make_object
from tests.support.stages import fresh_frame, make_instances

SIZE = (120, 160)
TITLE = "streamseg: cam"


class ListScreen:
    """Screen that records the shown images and returns the events a test adds."""

    def __init__(self) -> None:
        self.shown: dict[str, list[np.ndarray]] = {}
        self.events: list[Event] = []
        self.closed: set[str] = set()
        self.is_closed = False

    def show(self, window: str, image: np.ndarray) -> None:
        assert window not in self.closed, "a closed window was opened again"
        self.shown.setdefault(window, []).append(image)

    def poll(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def is_open(self, window: str) -> bool:
        return window in self.shown and window not in self.closed

    def close(self) -> None:
        self.is_closed = True

    def click(self, x: int, y: int, *, window: str = TITLE, is_background: bool = False) -> None:
        self.events += [Pointer(window, kind, x, y, is_background) for kind in ("press", "release")]

    def press(self, *characters: str) -> None:
        self.events += [Key(character) for character in characters]


class Operations(dict[str, Any]):
    """Operations that record their calls and keep the prompts."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.prompts: list[dict[str, Any]] = [{"id": "everything"}]
        self.rejection: str | None = None
        for name in ("prompts.set", "prompts.step", "prompts.clear", "prompts.list", "pause", "resume", "step"):
            self[name] = lambda args, name=name: self._call(name, args)

    def _call(self, name: str, args: dict[str, Any]) -> Any:
        if name != "prompts.list":
            self.calls.append((name, args))
        if self.rejection is not None:
            raise DataError(self.rejection)
        if name == "prompts.set":
            ids = {prompt["id"] for prompt in args["prompts"]}
            self.prompts = [prompt for prompt in self.prompts if prompt["id"] not in ids] + args["prompts"]
        elif name == "prompts.clear":
            self.prompts = [prompt for prompt in self.prompts if prompt["id"] not in args["ids"]]
        return {"prompts": list(self.prompts)}


class Stage:
    """A window with its screen, operations and clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.num_stops = 0
        self.screen, self.operations = ListScreen(), Operations()
        self.window = Window(self.screen, clock=lambda: self.now)
        self.window.attach(self.operations, self._stop)

    def _stop(self) -> None:
        self.num_stops += 1

    def update(self, *, is_paused: bool = False) -> None:
        self.window.update(STATS if not is_paused else replace(STATS, is_paused=True))

    def show(self, index: int, **changes: Any) -> None:
        self.window.latest.write(result(index, **changes))
        self.update()

    @property
    def images(self) -> list[np.ndarray]:
        return self.screen.shown.get(TITLE, [])


STATS = RunStats(1.0, 1, 1.0, 1.0, Ages(), 0, {}, {}, False, ())


def result(
    index: int, *, source_id: str = "cam", box: tuple[int, int, int, int] = (40, 40, 80, 80), prompts: Any = ()
) -> FrameResult:
    """Return a frame with one object, selected by the everything prompt and by the given bound prompts."""
    frame = fresh_frame(source_id, index, size=SIZE)
    x0, y0, x1, y1 = box
    ids = ("everything", *(status.prompt_id for status in prompts if status.state == "bound"))
    found = make_object(np.ones((y1 - y0, x1 - x0), np.bool_), x0, y0, track_id=5, prompt_ids=ids)
    message = make_message(found, size=SIZE, source_id=source_id, frame_index=index, prompts=tuple(prompts))
    tracked = Tracked(make_instances([box], image_size=SIZE), torch.tensor([5]))
    return FrameResult(frame, message, tracked, ())


def bound(prompt_id: str = "click-1") -> PromptStatus:
    return PromptStatus(prompt_id, "bound", 0.9, 5)
