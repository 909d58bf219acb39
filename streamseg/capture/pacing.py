"""Plays a recording as a camera would: each picture when its moment comes."""

from __future__ import annotations

import threading
import time

from streamseg.capture.clock import NS_PER_SECOND, Backlog, PtsPace

__all__ = ["Playback"]


class Playback:
    """Waits for the moment of each picture, on the monotonic clock."""

    def __init__(self, stopped: threading.Event) -> None:
        """Make a playback whose waits end when `stopped` is set."""
        self._stopped = stopped
        self._pace = PtsPace()
        self._backlog = Backlog()

    def show(self, pts_seconds: float | None) -> bool:
        """Wait until a picture is due; False where its moment is so long over that it is to be left out."""
        now_seconds = time.monotonic_ns() / NS_PER_SECOND
        due_seconds = self._pace.due_seconds(pts_seconds, now_seconds)
        waits_seconds = max(due_seconds - now_seconds, 0.0)
        self._stopped.wait(waits_seconds)
        return not self._backlog.leaves_out(
            lateness_seconds=now_seconds - due_seconds,
            waited_seconds=waits_seconds,
            now_seconds=now_seconds + waits_seconds,
        )
