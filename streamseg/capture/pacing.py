"""Real-time playback of recordings, and the decision which overdue frames to drop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from streamseg.capture.clock import NS_PER_SECOND

__all__ = ["Backlog", "Playback", "PtsPace"]


class PtsPace:
    """Due times of the frames of a recording that is played in real time.

    Stamps that jump (an edited recording, a file that restarts) and a reader that fell behind by more than
    `MOST_BEHIND_SECONDS` start a new time line. This avoids both a pause and a rush.
    """

    LONGEST_GAP_SECONDS = 10.0
    MOST_BEHIND_SECONDS = 1.0

    def __init__(self) -> None:
        self._start_seconds = 0.0
        self._last_pts_seconds: float | None = None

    def due_seconds(self, pts_seconds: float | None, now_seconds: float) -> float:
        """Return the due time of a frame, on the clock of `now_seconds`."""
        if pts_seconds is None:
            return now_seconds
        last, self._last_pts_seconds = self._last_pts_seconds, pts_seconds
        due = self._start_seconds + pts_seconds
        jumped = last is None or not 0 <= pts_seconds - last <= self.LONGEST_GAP_SECONDS
        if jumped or now_seconds - due > self.MOST_BEHIND_SECONDS:
            self._start_seconds = now_seconds - pts_seconds
            due = now_seconds
        return due


class Backlog:
    """Detector of leftover frames: frames from before the end of a stall that are not worth converting.

    Lateness alone is not a reason: the latency may have grown permanently. In addition, newer frames must be queued
    behind it. At least one frame per `DARK_SECONDS` is kept.
    """

    BOUND_SECONDS = 0.25
    NO_WAIT_SECONDS = 0.005
    DARK_SECONDS = 0.5

    def __init__(self) -> None:
        self._last_kept_seconds: float | None = None

    @classmethod
    def has_newer(cls, waited_seconds: float) -> bool:
        """Return whether newer frames are probably queued behind one for which the reader waited so long.

        For readers that cannot see the queue; one that got no processor time appears to have waited.
        """
        return waited_seconds < cls.NO_WAIT_SECONDS

    def should_drop(self, *, lateness_seconds: float, has_newer: bool, now_seconds: float) -> bool:
        """Return whether to drop a frame, given its lateness and whether newer ones are queued behind it."""
        behind = lateness_seconds > self.BOUND_SECONDS and has_newer
        last = self._last_kept_seconds
        if behind and last is not None and now_seconds - last < self.DARK_SECONDS:
            return True
        self._last_kept_seconds = now_seconds
        return False


class Playback:
    """Real-time playback that waits for the due time of each frame, on the monotonic clock."""

    def __init__(self, stopped: threading.Event, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Create a playback whose waits end when `stopped` is set; `now_ns` is the monotonic clock."""
        self._stopped = stopped
        self._now_ns = now_ns
        self._pace = PtsPace()
        self._backlog = Backlog()

    def wait_until_due(self, pts_seconds: float | None) -> bool:
        """Wait until a frame is due; return False if it is so far overdue that it should be dropped."""
        now_seconds = self._now_ns() / NS_PER_SECOND
        due_seconds = self._pace.due_seconds(pts_seconds, now_seconds)
        wait_seconds = max(due_seconds - now_seconds, 0.0)
        self._stopped.wait(wait_seconds)
        return not self._backlog.should_drop(
            lateness_seconds=now_seconds - due_seconds,
            has_newer=self._backlog.has_newer(wait_seconds),
            now_seconds=now_seconds + wait_seconds,
        )
