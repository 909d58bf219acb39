"""A real RTSP server in another process, which can be killed and started again at the same address."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["RtspServer", "why_no_server"]

PYTHON = "/usr/bin/python3"
PROGRAM = Path(__file__).with_name("gst_rtsp_server.py")
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


@functools.cache
def why_no_server() -> str | None:
    """Return why GStreamer's RTSP server cannot be used, None if it can."""
    if not Path(PYTHON).exists():
        return f"{PYTHON} is absent"
    done = subprocess.run([PYTHON, "-c", BINDINGS], capture_output=True, timeout=60, check=False)
    return None if done.returncode == 0 else "GStreamer's RTSP server is absent (Debian: gir1.2-gst-rtsp-server-1.0)"


class RtspServer:
    """Serves a test pattern at rtsp://127.0.0.1:port/live; use it as a context manager.

    Args:
        size: of the images, (H, W).
        fps: frames per second; a keyframe is sent every second.
        pattern: name of a pattern of GStreamer's videotestsrc.
        account: USER:PASSWORD that is rejected until `accept_account`; "": everybody is accepted.
    """

    def __init__(
        self, *, size: tuple[int, int] = (120, 160), fps: int = 10, pattern: str = "ball", account: str = ""
    ) -> None:
        self._settings = [str(size[1]), str(size[0]), str(fps), pattern, *([account] if account else [])]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        """Its port; 0 before the first start, and the same after a restart."""

    def start(self, *, size: tuple[int, int] | None = None, fps: int | None = None) -> None:
        """Start, and return once it accepts connections; another size (H, W) or rate replaces the present one."""
        if size is not None:
            self._settings[:2] = [str(size[1]), str(size[0])]
        if fps is not None:
            self._settings[2] = str(fps)
        command = [PYTHON, str(PROGRAM), str(self.port), *self._settings]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        assert words[:1] == ["ready"], "the server did not start"
        self.port = int(words[1])

    def accept_account(self) -> None:
        """Accept the account from now on."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("accept\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "accepts"

    def kill(self) -> None:
        """End it at once, as a camera that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
