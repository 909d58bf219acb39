"""How many messages a browser may send: a token bucket. Pure: time is an argument."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """Grows with time up to a bound; each message takes one.

    Args:
        per_second: how fast it grows.
        most: its bound, and where it begins: so many may come at once.
        now_seconds: monotonic time.
    """

    def __init__(self, per_second: float, most: float, now_seconds: float) -> None:
        self._per_second = per_second
        self._most = most
        self._left = most
        self._seen_seconds = now_seconds

    def take(self, now_seconds: float) -> float:
        """Take one; the answer says for how many seconds to wait before it may be used, 0 while there is some left."""
        elapsed = max(now_seconds - self._seen_seconds, 0.0)
        self._seen_seconds = max(now_seconds, self._seen_seconds)
        self._left = min(self._left + elapsed * self._per_second, self._most) - 1.0
        return max(-self._left / self._per_second, 0.0)
