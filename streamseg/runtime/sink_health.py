"""Health of one sink as a state machine. Pure: the caller supplies the time, in seconds of a monotonic clock.

    ok ── an error, or a write that does not end ──► degraded ── for FAILED_SECONDS ──► failed
     ▲                                                   │                                │
     └──────────────── a write that ends ────────────────┴────────────────────────────────┘

An error that may pass (a full disk, a lost network share) is retried with back-off, also in the state failed. Any other
exception is a bug of the sink: it fails at once, for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamseg.capture.source import Backoff
from streamseg.errors import DataError, StreamsegError
from streamseg.telemetry import Drops

__all__ = ["FAILED_SECONDS", "HUNG_SECONDS", "SinkHealth", "SinkState", "SinkStats", "may_pass"]

SinkState = Literal["ok", "degraded", "failed"]

HUNG_SECONDS = 2.0
"""Duration of a write after which the sink counts as hung: disks pause for a second, seldom for longer."""
FAILED_SECONDS = 30.0
"""Time without a successful write after which a sink has failed. It is still retried."""


@dataclass(frozen=True)
class SinkStats:
    """State and statistics of one sink."""

    name: str
    """Such as `messages` or `recording cam0`."""
    state: SinkState
    error: str | None
    """Last error, one line; None in the state ok."""
    state_seconds: float
    """Time in this state."""
    num_written: int
    """Number of frames written."""
    drops: Drops
    """Number of frames not written, by source and reason: {"cam0": {"slot_full": 3, "unavailable": 40}}.

    slot_full    the sink was slower than the source, or hung       stopped    the run ended first
    unavailable  after an error, until the next attempt
    """
    trouble_seconds: float = 0.0
    """Time since the first error from which the sink has not recovered, over all states; 0 in the state ok."""


def may_pass(error: BaseException) -> bool:
    """Return whether a later attempt may succeed: errors of the system and of streamseg's outputs, not bugs."""
    return isinstance(error, StreamsegError | OSError)


class SinkHealth:
    """Health of one sink.

    Args:
        now: time of the start.
    """

    def __init__(self, now: float) -> None:
        self._backoff = Backoff()
        self._ok_since = now
        self._bad_since: float | None = None
        self._writing_since: float | None = None
        self._retry_at = now
        self._error: BaseException | None = None
        self._failed_at: float | None = None
        """Time of the bug that ended the sink; None if there was none."""

    def begin(self, now: float) -> None:
        """Record the start of a write, or of closing."""
        self._writing_since = now

    def end(self, now: float) -> None:
        """Record the end of a write."""
        if self._failed_at is None and self.state(now) != "ok":
            self._ok_since = now
            self._bad_since = self._error = None
        self._writing_since = None
        self._backoff.connected(now)

    def closed(self) -> None:
        """Record the end of closing. Unlike a write that ends, it is no recovery: an error before remains."""
        self._writing_since = None

    def fail(self, error: BaseException, now: float) -> None:
        """Record the exception of a write."""
        self._writing_since = None
        self._error = error
        if self._bad_since is None:
            self._bad_since = now
        if may_pass(error):
            self._retry_at = now + self._backoff.failed(now)
        elif self._failed_at is None:
            self._failed_at = now

    def accepts(self, now: float) -> bool:
        """Return whether a write may be tried."""
        return self._failed_at is None and now >= self._retry_at

    def state(self, now: float) -> SinkState:
        """Return the state."""
        bad_since = self._trouble_since(now)
        if bad_since is None:
            return "ok"
        is_failed = self._failed_at is not None or now - bad_since >= FAILED_SECONDS
        return "failed" if is_failed else "degraded"

    def state_seconds(self, now: float) -> float:
        """Return the time since the current state began."""
        bad_since = self._trouble_since(now)
        if bad_since is None:
            return now - self._ok_since
        if self.state(now) == "degraded":
            return now - bad_since
        return now - (self._failed_at if self._failed_at is not None else bad_since + FAILED_SECONDS)

    def trouble_seconds(self, now: float) -> float:
        """Return the time since the first error from which the sink has not recovered; 0 in the state ok."""
        bad_since = self._trouble_since(now)
        return 0.0 if bad_since is None else now - bad_since

    def hung_seconds(self, now: float) -> float:
        """Return the duration of a write that has not ended in time; 0 if there is none."""
        if self._writing_since is None or now - self._writing_since < HUNG_SECONDS:
            return 0.0
        return now - self._writing_since

    def error(self, now: float) -> BaseException | None:
        """Return the last error; None in the state ok."""
        if self._error is not None:
            return self._error
        hung_seconds = self.hung_seconds(now)
        return DataError(f"a write has not ended for {hung_seconds:.0f} s") if hung_seconds else None

    def _trouble_since(self, now: float) -> float | None:
        """Return the time of the first error or of the start of the write that hangs; None in the state ok."""
        if self._bad_since is not None:
            return self._bad_since
        return self._writing_since if self.hung_seconds(now) else None
