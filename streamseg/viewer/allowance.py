"""How much a browser may say: a token bucket. Pure: time is an argument."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """Grows with time up to a bound; each message takes from it.

    Args:
        per_second: how fast it grows.
        most: its bound, and where it begins: so much may come at once.
        now_seconds: monotonic time.
    """

    def __init__(self, per_second: float, most: float, now_seconds: float) -> None:
        self._per_second = per_second
        self._most = most
        self._left = most
        self._seen_seconds = now_seconds

    def take(self, amount: float, now_seconds: float) -> float:
        """Take an amount; the answer says for how many seconds to wait before the next, 0 while there is some left."""
        elapsed = max(now_seconds - self._seen_seconds, 0.0)
        self._seen_seconds = max(now_seconds, self._seen_seconds)
        self._left = min(self._left + elapsed * self._per_second, self._most) - amount
        return max(-self._left / self._per_second, 0.0)
