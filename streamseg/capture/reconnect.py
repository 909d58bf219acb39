"""When to try again."""

from __future__ import annotations

__all__ = ["Backoff"]


class Backoff:
    """How long to wait after each failure: 0.5 s, then twice as long each time, at most 10 s.

    A connection that lasted for `STABLE_SECONDS` starts the row again. One that is accepted and lost
    at once, over and over, does not: it would be tried twice a second for ever.
    """

    FIRST_SECONDS = 0.5
    LONGEST_SECONDS = 10.0
    STABLE_SECONDS = 5.0

    def __init__(self) -> None:
        self._next_seconds = self.FIRST_SECONDS
        self._connected_at: float | None = None

    def connected(self, now_seconds: float) -> None:
        """The source delivers (again)."""
        if self._connected_at is None:
            self._connected_at = now_seconds

    def failed(self, now_seconds: float) -> float:
        """The connection was lost, or did not come about: how many seconds to wait before the next try."""
        if self._connected_at is not None and now_seconds - self._connected_at >= self.STABLE_SECONDS:
            self._next_seconds = self.FIRST_SECONDS
        self._connected_at = None
        delay = self._next_seconds
        self._next_seconds = min(2 * delay, self.LONGEST_SECONDS)
        return delay
