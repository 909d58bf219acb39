"""Desktop windows: the interface `Screen`, and OpenCV's windows behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from streamseg.errors import ConfigError
from streamseg.structures.arrays import ImageArray

__all__ = ["Event", "Key", "OpenCVScreen", "Pointer", "Screen", "display_fault", "require_display"]

MAX_WINDOW_SIZE = (720, 1280)
"""Maximum initial size (H, W) of a window; larger images are scaled down. The user can resize the window."""
PROBE_SECONDS = 30.0
_PROBE = "import cv2; cv2.namedWindow('streamseg'); cv2.waitKey(1); cv2.destroyAllWindows()"


@dataclass(frozen=True)
class Pointer:
    """A mouse event: a button was pressed or released, or the mouse moved."""

    window: str
    kind: Literal["press", "move", "release"]
    x: int
    """Column of the shown image; outside the image if the mouse has left the window."""
    y: int
    """Row of the shown image."""
    is_background: bool = False
    """True for the right button, and for the left button with the shift key."""


@dataclass(frozen=True)
class Key:
    """A pressed key."""

    character: str


Event = Pointer | Key


class Screen(Protocol):
    """Windows that show one image each."""

    def show(self, window: str, image: ImageArray) -> None:
        """Show an image in the window of this name; open the window if needed."""
        ...

    def poll(self) -> list[Event]:
        """Process pending window events; return the events since the last call, in order."""
        ...

    def is_open(self, window: str) -> bool:
        """Return whether the window is open; False once the user has closed it."""
        ...

    def close(self) -> None:
        """Close all windows."""
        ...


class OpenCVScreen:
    """OpenCV windows. Main thread only."""

    def __init__(self) -> None:
        self._windows: set[str] = set()
        self._events: list[Event] = []

    def show(self, window: str, image: ImageArray) -> None:
        """Show an image in the window of this name."""
        import cv2

        if window not in self._windows:
            # Without WINDOW_GUI_NORMAL, Qt consumes the right button and the wheel.
            cv2.namedWindow(window, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            height, width = image.shape[:2]
            scale = min(1.0, MAX_WINDOW_SIZE[0] / height, MAX_WINDOW_SIZE[1] / width)
            cv2.resizeWindow(window, max(round(width * scale), 1), max(round(height * scale), 1))
            cv2.setMouseCallback(window, self._on_mouse, window)
            self._windows.add(window)
        cv2.imshow(window, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def poll(self) -> list[Event]:
        """Process pending window events; takes about 1 ms."""
        import cv2

        code = cv2.waitKey(1) if self._windows else -1
        # Keys without a character, such as shift, have codes beyond ASCII.
        if 0 <= code < 128:
            self._events.append(Key(chr(code)))
        events, self._events = self._events, []
        return events

    def is_open(self, window: str) -> bool:
        """Return whether the window was shown and not closed."""
        import cv2

        try:
            return window in self._windows and cv2.getWindowProperty(window, cv2.WND_PROP_VISIBLE) > 0
        except cv2.error:
            return False  # once the last window is closed, OpenCV's Qt rejects the query

    def close(self) -> None:
        """Close all windows."""
        import cv2

        if self._windows:
            cv2.destroyAllWindows()
        self._windows.clear()

    def _on_mouse(self, event: int, x: int, y: int, flags: int, window: str | None) -> None:
        """Record an event; OpenCV calls this in `poll`, with pixels of the image at any window size."""
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
    """Check that a window can be opened.

    Raises:
        ConfigError: it cannot.
    """
    import cv2

    fault = display_fault(cv2.currentUIFramework(), sys.platform, os.environ, _probe)
    if fault is not None:
        raise ConfigError(fault)


def display_fault(
    framework: str, platform: str, environment: Mapping[str, str], probe: Callable[[], str | None]
) -> str | None:
    """Return the reason why no window can be opened, in one line; None if one can.

    Args:
        framework: OpenCV's window framework; "" for none.
        platform: value of `sys.platform`.
        environment: environment variables.
        probe: tries to open a window and returns the error, or None. Not called if the result is known before.
    """
    if not framework:
        return (
            "--show needs an OpenCV with windows, but this one is headless; run: pip uninstall opencv-python-headless"
            " && pip install --force-reinstall opencv-python"
        )
    if platform.startswith("linux") and not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        return "--show needs a display, but DISPLAY is not set; run it in a desktop session, or omit --show"
    error = probe()
    if error is None:
        return None
    display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY") or "this display"
    return f"--show cannot open a window on {display}: {error}; run it in a desktop session, or omit --show"


def _probe() -> str | None:
    """Open a window in another process, because OpenCV's Qt ends the whole process if it fails."""
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no response within {PROBE_SECONDS:g} s"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"OpenCV exited with code {done.returncode}"
