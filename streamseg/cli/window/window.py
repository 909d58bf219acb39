"""One window per source: shows the newest results, and turns keys and mouse into operations of the run."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2

from streamseg.cli.window.pointing import Click, Drag, Mouse
from streamseg.cli.window.prompts import ClickedPrompt, ClickedPrompts
from streamseg.cli.window.screen import Key, Pointer, Screen
from streamseg.drawing.prompts import draw_lines, draw_prompted
from streamseg.errors import StreamsegError
from streamseg.pipeline import FrameResult
from streamseg.runtime import RunStats, SinkPolicy
from streamseg.structures.arrays import ImageArray

__all__ = ["LatestResults", "Window"]

NOTICE_SECONDS: Final = 4.0
"""Time for which a notice is shown."""
NOTICE_CHARACTERS: Final = 80
"""Maximum length of a line of a notice: what fits on an image 640 pixels wide."""
MARK: Final = (255, 255, 255)
"""Colour of pending points and of the dragged box."""

HELP: Final = (
    "click: select an object     again: the next larger one",
    "right or shift + click: exclude     drag: a box",
    "space: pause   s: single frame   c: clear   ?: this help   q: quit",
)

Operation = Callable[[dict[str, Any]], Any]
"""Operation of the control channel: its arguments to its result."""


class LatestResults:
    """Sink that keeps the newest result of each source."""

    policy = SinkPolicy("window", has_thread=False)

    def __init__(self) -> None:
        self._results: dict[str, FrameResult] = {}

    def write(self, result: FrameResult) -> None:
        """Keep this result. The writing thread never waits for a reader."""
        # One assignment here and one copy in `snapshot`: both are atomic.
        self._results[result.frame.source_id] = result

    def snapshot(self) -> dict[str, FrameResult]:
        """Return the newest results by source id. Thread-safe."""
        return self._results.copy()

    def close(self) -> None:
        """Keep the results: the last frame may still be shown after the end of the run."""


@dataclass
class _View:
    """Window of one source."""

    result: FrameResult
    mouse: Mouse
    drawn: tuple[object, ...] = ()
    """Inputs of the image in the window, which is redrawn when they change."""

    @property
    def size(self) -> tuple[int, int]:
        return self.result.frame.size


class Window:
    """Shows the newest results, and turns mouse and keys into operations of the control channel.

    One thread only; with a real screen, the main thread.

    Args:
        screen: opens the windows.
        clock: monotonic time in seconds.
    """

    refresh_seconds: Final = 1 / 30
    """Time between two updates: the interval of frames at 30 fps."""

    def __init__(self, screen: Screen, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.latest = LatestResults()
        """Sink for the results to show."""
        self._screen = screen
        self._clock = clock
        self._operations: Mapping[str, Operation] = {}
        self._stop: Callable[[], None] = lambda: None
        self._views: dict[str, _View] = {}
        self._closed: set[str] = set()
        self._prompts = ClickedPrompts(self._call, self._notify)
        self._is_paused = False
        self._shows_help = False
        self._notice, self._notice_until = f"{HELP[0]}     ?: help", clock() + NOTICE_SECONDS

    def attach(self, operations: Mapping[str, Operation], stop: Callable[[], None]) -> None:
        """Control this run. Call it before the first update.

        Args:
            operations: operations of the run by name, see `control_operations`.
            stop: ends the run.
        """
        self._operations, self._stop = operations, stop

    def beside(self, call: Callable[[RunStats], None], seconds: float) -> Callable[[RunStats], None]:
        """Return a callback for each refresh: it updates the windows, and calls `call` every `seconds`."""
        due = self._clock() + seconds

        def on_stats(stats: RunStats) -> None:
            nonlocal due
            self.update(stats)
            if (now := self._clock()) >= due:
                due = now + seconds
                call(stats)

        return on_stats

    def update(self, stats: RunStats) -> None:
        """Handle the user's input since the last call, and show new results."""
        self._is_paused = stats.is_paused
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

    # ---- drawing

    def _show(self, source_id: str, result: FrameResult) -> None:
        view = self._views.setdefault(source_id, _View(result, Mouse()))
        if not view.mouse.is_pressed:  # the frame stands still while a box is dragged
            view.result = result
        message = view.result.message
        pending = self._prompts.pending(source_id, {status.prompt_id for status in message.prompts})
        drawn = (view.result, view.mouse.box(view.size), pending, self._lines())
        if drawn == view.drawn:
            return
        view.drawn = drawn
        canvas = draw_prompted(view.result.shown_image, message)
        for prompt in pending:
            _draw_points(canvas, prompt)
        if (box := view.mouse.box(view.size)) is not None:
            x0, y0, x1, y1 = (round(value) for value in box)
            cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), MARK, max(1, min(view.size) // 360))
        draw_lines(canvas, self._lines(), (0, 0))
        self._screen.show(_title(source_id), canvas)

    def _lines(self) -> tuple[str, ...]:
        notice = textwrap.wrap(self._notice, NOTICE_CHARACTERS) if self._clock() < self._notice_until else ()
        paused = ("paused",) if self._is_paused else ()
        return (*paused, *(HELP if self._shows_help else ()), *notice)

    def _notify(self, notice: str) -> None:
        self._notice, self._notice_until = notice, self._clock() + NOTICE_SECONDS

    # ---- user input

    def _call(self, name: str, args: dict[str, Any] | None = None) -> Any:
        """Call an operation; if it is rejected, show the error in the window and return None."""
        try:
            return self._operations[name]({} if args is None else args)
        except StreamsegError as error:
            self._notify(str(error))
            return None

    def _press(self, character: str) -> None:
        match character:
            case "q" | "Q" | "\x1b":
                self._stop()
            case " ":
                self._call("resume" if self._is_paused else "pause")
                self._is_paused = not self._is_paused
            case "s":
                if not self._is_paused:
                    self._call("pause")
                    self._is_paused = True
                self._call("step")
            case "c":
                self._prompts.clear()
            case "?":
                self._shows_help = not self._shows_help

    def _point(self, pointer: Pointer) -> None:
        source_id = next((name for name in self._views if _title(name) == pointer.window), None)
        if source_id is None:
            return  # the window has just been closed
        view = self._views[source_id]
        match view.mouse.handle(pointer, view.size):
            case Click(is_background=True) as click:
                self._prompts.exclude(view.result, (click.x, click.y))
            case Click() as click:
                self._prompts.select(view.result, (click.x, click.y))
            case Drag(box):
                self._prompts.enclose(view.result, box)


def _title(source_id: str) -> str:
    """Return the name of a source's window: ASCII, as source ids are, because OpenCV's Qt loses other windows."""
    return f"streamseg: {source_id}"


def _draw_points(canvas: ImageArray, prompt: ClickedPrompt) -> None:
    """Draw the points of a pending prompt: a cross for a foreground point, a saltire for a background point."""
    size = max(8, min(canvas.shape[:2]) // 40)
    for (x, y), label in zip(prompt.points, prompt.labels, strict=True):
        kind = cv2.MARKER_CROSS if label else cv2.MARKER_TILTED_CROSS
        cv2.drawMarker(canvas, (int(x), int(y)), MARK, kind, size, max(1, size // 8), cv2.LINE_AA)
