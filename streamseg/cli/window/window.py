"""A window per source: what is shown in it, and what keys and mouse ask of the run."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.cli.window.clicked import ClickedPrompt, ClickedPrompts
from streamseg.cli.window.latest import LatestResults
from streamseg.cli.window.pointing import Click, Drag, Mouse
from streamseg.cli.window.screen import Key, Pointer, Screen
from streamseg.drawing.prompts import draw_lines, draw_prompted
from streamseg.errors import StreamsegError
from streamseg.pipeline import FrameResult
from streamseg.runtime.stats import RunStats

__all__ = ["Window"]

NOTICE_SECONDS: Final = 4.0
NOTICE_CHARACTERS: Final = 80
"""In a line: what fits on a picture of 640 pixels."""
MARK: Final = (255, 255, 255)

HELP: Final = (
    "click: select an object     again: the next larger one",
    "right or shift + click: not this     drag: a box",
    "space: pause   s: one frame   c: clear   ?: this help   q: quit",
)

Operation = Callable[[dict[str, Any]], Any]


@dataclass
class _View:
    """A window of one source."""

    result: FrameResult
    mouse: Mouse
    drawn: tuple[object, ...] = ()
    """What the picture in the window was made from."""

    @property
    def size(self) -> tuple[int, int]:
        return self.result.frame.size


class Window:
    """Shows the newest frames, and turns mouse and keys into operations of the control channel.

    For one thread, which has to be the main one where the screen is real.

    Args:
        screen: where the windows are.
        clock: monotonic seconds.
    """

    refresh_seconds: Final = 1 / 30
    """Between two updates: as often as a picture may be new."""

    def __init__(self, screen: Screen, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.latest = LatestResults()
        """The sink of what is to be shown."""
        self._screen = screen
        self._clock = clock
        self._operations: Mapping[str, Operation] = {}
        self._stop: Callable[[], None] = lambda: None
        self._views: dict[str, _View] = {}
        self._closed: set[str] = set()
        self._prompts = ClickedPrompts(self._do, self._tell)
        self._is_paused = False
        self._shows_help = False
        self._notice, self._notice_until = f"{HELP[0]}     ?: help", clock() + NOTICE_SECONDS

    def attach(self, operations: Mapping[str, Operation], stop: Callable[[], None]) -> None:
        """Steer this run; before the first update.

        Args:
            operations: of the run, as `control_operations` makes them.
            stop: ends the run.
        """
        self._operations, self._stop = operations, stop

    def beside(self, call: Callable[[RunStats], None], seconds: float) -> Callable[[RunStats], None]:
        """What a run calls at each refresh: updates the windows, and calls `call` once in so many seconds."""
        due = self._clock() + seconds

        def on_figures(figures: RunStats) -> None:
            nonlocal due
            self.update(figures)
            if (now := self._clock()) >= due:
                due = now + seconds
                call(figures)

        return on_figures

    def update(self, figures: RunStats) -> None:
        """Do what was asked since the last call, and show what is new."""
        self._is_paused = figures.is_paused
        for event in self._screen.poll():
            if isinstance(event, Key):
                self._press(event.character)
            else:
                self._point(event)
        for source_id in [name for name in self._views if not self._screen.is_open(_title(name))]:
            del self._views[source_id]
            self._closed.add(source_id)
        if self._closed and not self._views:
            self._stop()
            return
        for source_id, result in self.latest.snapshot().items():
            if source_id not in self._closed:
                self._show(source_id, result)

    def close(self) -> None:
        """Close the windows."""
        self._screen.close()

    # ---- what is shown

    def _show(self, source_id: str, result: FrameResult) -> None:
        view = self._views.setdefault(source_id, _View(result, Mouse()))
        if not view.mouse.is_pressed:  # a box is drawn around what stands still
            view.result = result
        message = view.result.message
        marks = self._prompts.unanswered(source_id, {status.prompt_id for status in message.prompts})
        drawn = (view.result, view.mouse.box(view.size), marks, self._lines())
        if drawn == view.drawn:
            return
        view.drawn = drawn
        canvas = draw_prompted(view.result.frame.image, message)
        for one in marks:
            _draw_marks(canvas, one)
        if (box := view.mouse.box(view.size)) is not None:
            x0, y0, x1, y1 = (round(value) for value in box)
            cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), MARK, max(1, min(view.size) // 360))
        draw_lines(canvas, self._lines(), (0, 0))
        self._screen.show(_title(source_id), canvas)

    def _lines(self) -> tuple[str, ...]:
        notice = textwrap.wrap(self._notice, NOTICE_CHARACTERS) if self._clock() < self._notice_until else ()
        paused = ("paused",) if self._is_paused else ()
        return (*paused, *(HELP if self._shows_help else ()), *notice)

    def _tell(self, notice: str) -> None:
        self._notice, self._notice_until = notice, self._clock() + NOTICE_SECONDS

    # ---- what is asked

    def _do(self, name: str, args: dict[str, Any] | None = None) -> Any:
        """Have an operation done; None, and a line in the window, where it is refused."""
        try:
            return self._operations[name]({} if args is None else args)
        except StreamsegError as error:
            self._tell(str(error))
            return None

    def _press(self, character: str) -> None:
        match character:
            case "q" | "Q" | "\x1b":
                self._stop()
            case " ":
                self._do("resume" if self._is_paused else "pause")
                self._is_paused = not self._is_paused
            case "s":
                if not self._is_paused:
                    self._do("pause")
                    self._is_paused = True
                self._do("step")
            case "c":
                self._prompts.clear()
            case "?":
                self._shows_help = not self._shows_help

    def _point(self, pointer: Pointer) -> None:
        source_id = next((name for name in self._views if _title(name) == pointer.window), None)
        if source_id is None:
            return  # closed a moment ago
        view = self._views[source_id]
        match view.mouse.take(pointer, view.size):
            case Click(is_background=True) as click:
                self._prompts.exclude(view.result, (click.x, click.y))
            case Click() as click:
                self._prompts.select(view.result, (click.x, click.y))
            case Drag(box):
                self._prompts.enclose(view.result, box)


def _title(source_id: str) -> str:
    """Name of a source's window; OpenCV's Qt loses windows whose names are not ASCII, which source ids are."""
    return f"streamseg: {source_id}"


def _draw_marks(canvas: npt.NDArray[np.uint8], prompt: ClickedPrompt) -> None:
    """The points of a prompt that no frame has answered yet: a cross, a background point a saltire."""
    size = max(8, min(canvas.shape[:2]) // 40)
    for (x, y), label in zip(prompt.points, prompt.labels, strict=True):
        kind = cv2.MARKER_CROSS if label else cv2.MARKER_TILTED_CROSS
        cv2.drawMarker(canvas, (int(x), int(y)), MARK, kind, size, max(1, size // 8), cv2.LINE_AA)
