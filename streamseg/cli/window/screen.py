"""A screen with windows: OpenCV's, behind what little is needed of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from streamseg.errors import ConfigError

__all__ = ["Event", "Key", "OpenCVScreen", "Pointer", "Screen", "display_fault", "require_display"]

MAX_WINDOW_SIZE = (720, 1280)
"""(H, W) that a window opens with at most; larger pictures are shown smaller, until somebody pulls at the window."""
PROBE_SECONDS = 30.0
_PROBE = "import cv2; cv2.namedWindow('streamseg'); cv2.waitKey(1); cv2.destroyAllWindows()"


@dataclass(frozen=True)
class Pointer:
    """The mouse went down, moved or went up."""

    window: str
    kind: Literal["press", "move", "release"]
    x: int
    """Column of the picture that is shown; outside of it where the mouse left the window."""
    y: int
    """Row of the picture that is shown."""
    is_background: bool = False
    """The right button, or the left one with the shift key."""


@dataclass(frozen=True)
class Key:
    """A key was pressed."""

    character: str


Event = Pointer | Key


class Screen(Protocol):
    """Windows with a picture each."""

    def show(self, window: str, picture: npt.NDArray[np.uint8]) -> None:
        """Show a picture (H, W, 3) RGB in a window of that name, which opens where there is none."""
        ...

    def poll(self) -> list[Event]:
        """Let the windows live for a moment; what happened since the last call, in order."""
        ...

    def is_open(self, window: str) -> bool:
        """Whether the window is there; False once somebody closed it."""
        ...

    def close(self) -> None:
        """Close all windows."""
        ...


class OpenCVScreen:
    """Windows of OpenCV; for the main thread."""

    def __init__(self) -> None:
        self._windows: set[str] = set()
        self._events: list[Event] = []

    def show(self, window: str, picture: npt.NDArray[np.uint8]) -> None:
        """Show a picture (H, W, 3) RGB."""
        import cv2

        if window not in self._windows:
            # Without WINDOW_GUI_NORMAL, Qt takes the right button and the wheel for itself.
            cv2.namedWindow(window, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            height, width = picture.shape[:2]
            scale = min(1.0, MAX_WINDOW_SIZE[0] / height, MAX_WINDOW_SIZE[1] / width)
            cv2.resizeWindow(window, max(round(width * scale), 1), max(round(height * scale), 1))
            cv2.setMouseCallback(window, self._on_mouse, window)
            self._windows.add(window)
        cv2.imshow(window, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def poll(self) -> list[Event]:
        """Handle what waits for the windows; takes about 1 ms."""
        import cv2

        code = cv2.waitKey(1) if self._windows else -1
        # Keys without a character, such as shift, come as codes beyond ASCII.
        if 0 <= code < 128:
            self._events.append(Key(chr(code)))
        events, self._events = self._events, []
        return events

    def is_open(self, window: str) -> bool:
        """Whether the window was shown and not closed."""
        import cv2

        try:
            return window in self._windows and cv2.getWindowProperty(window, cv2.WND_PROP_VISIBLE) > 0
        except cv2.error:
            return False  # asked after the last window, OpenCV's Qt knows no windows at all

    def close(self) -> None:
        """Close all windows."""
        import cv2

        if self._windows:
            cv2.destroyAllWindows()
        self._windows.clear()

    def _on_mouse(self, event: int, x: int, y: int, flags: int, window: str | None) -> None:
        """Called by OpenCV in `poll`, with pixels of the picture, however large the window is."""
        import cv2

        kinds: dict[int, Literal["press", "move", "release"]] = {
            cv2.EVENT_LBUTTONDOWN: "press",
            cv2.EVENT_RBUTTONDOWN: "press",
            cv2.EVENT_MOUSEMOVE: "move",
            cv2.EVENT_LBUTTONUP: "release",
            cv2.EVENT_RBUTTONUP: "release",
        }
        if event in kinds and window is not None:
            is_right = event in (cv2.EVENT_RBUTTONDOWN, cv2.EVENT_RBUTTONUP)
            is_background = is_right or bool(flags & cv2.EVENT_FLAG_SHIFTKEY)
            self._events.append(Pointer(window, kinds[event], x, y, is_background))


def require_display() -> None:
    """Raise ConfigError with one line where no window can be opened."""
    import cv2

    fault = display_fault(cv2.currentUIFramework(), sys.platform, os.environ, _probe)
    if fault is not None:
        raise ConfigError(fault)


def display_fault(
    framework: str, platform: str, environment: Mapping[str, str], probe: Callable[[], str | None]
) -> str | None:
    """Why no window can be opened, in one line; None where one can.

    Args:
        framework: what OpenCV makes windows with, "" for nothing.
        platform: as in `sys.platform`.
        environment: of the process.
        probe: tries to open a window; what went wrong, or None. Not called where the answer is known.
    """
    if not framework:
        return (
            "--show needs an OpenCV with windows, this one is headless; run: pip uninstall opencv-python-headless"
            " && pip install --force-reinstall opencv-python"
        )
    if platform.startswith("linux") and not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        return "--show needs a display, and DISPLAY is not set; start it in a desktop session, or leave --show out"
    words = probe()
    if words is None:
        return None
    display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY") or "this display"
    return f"--show cannot open a window on {display}: {words}; start it in a desktop session, or leave --show out"


def _probe() -> str | None:
    """Open a window in another process, because OpenCV's Qt ends the whole process where it cannot."""
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_SECONDS:g} s"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"OpenCV ended with code {done.returncode}"
