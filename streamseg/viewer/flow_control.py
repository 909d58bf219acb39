"""Flow control for one browser: which frames to send, and how fast to read its messages.

Pure: the caller supplies the time.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["MAX_UNACKNOWLEDGED", "FlowControl", "TokenBucket"]

MAX_UNACKNOWLEDGED: Final = 2
"""Maximum number of frames in flight: one is drawn while the next is on its way, so that latency does not halve
the rate."""
QUEUED_RATIO: Final = 1.5
QUEUED_SLACK_NS: Final = 5_000_000
"""A frame sent behind another one has queued behind it if its round trip exceeds that of a frame sent alone by this
ratio and slack: two in flight then add latency and no frames."""
PROBE_FRAMES: Final = 60
"""Number of frames sent one at a time before two in flight are tried again."""
BASE_WEIGHT: Final = 0.2
"""Weight of the latest round trip in the moving average for frames sent alone."""


class FlowControl:
    """Tracks the frames of one source that were sent to one browser and not acknowledged.

    At most two are in flight, and only one if two would merely queue: on a slow connection or in a slow browser
    the second waits behind the first, and everything displayed would be older by a frame.
    """

    def __init__(self) -> None:
        self.last_sent = -1
        """Sequence number of the last frame sent; -1 before the first."""
        self._in_flight: deque[tuple[int, int, bool]] = deque()  # (seq, time sent, whether it was sent alone)
        self._limit = MAX_UNACKNOWLEDGED
        self._num_single = 0
        self._base_ns: float | None = None

    @property
    def num_in_flight(self) -> int:
        """Number of frames that were sent and not acknowledged."""
        return len(self._in_flight)

    @property
    def limit(self) -> int:
        """Current maximum number of frames in flight, 1 or 2."""
        return self._limit

    @property
    def has_room(self) -> bool:
        """Whether another frame may be sent."""
        return len(self._in_flight) < self._limit

    def wants(self, seq: int) -> bool:
        """Return whether to send this frame: it is newer than the last one sent, and there is room."""
        return seq > self.last_sent and self.has_room

    def record_sent(self, seq: int, now_ns: int) -> None:
        """Record a frame that was sent; raises ValueError if `wants` rejects it."""
        if not self.wants(seq):
            raise ValueError(
                f"frame {seq} must not be sent after {self.last_sent} with {self.num_in_flight} frames in flight"
            )
        self._in_flight.append((seq, now_ns, not self._in_flight))
        self.last_sent = seq

    def acknowledge(self, seq: int, now_ns: int) -> bool:
        """Record that a frame was displayed, and with it all earlier ones; return False if it was never sent."""
        if not 0 <= seq <= self.last_sent:
            return False
        while self._in_flight and self._in_flight[0][0] <= seq:
            number, sent_ns, was_alone = self._in_flight.popleft()
            if number == seq:
                self._adapt(now_ns - sent_ns, was_alone)
        return True

    def _adapt(self, trip_ns: int, was_alone: bool) -> None:
        """Adapt the limit to the round trip of an acknowledged frame."""
        if was_alone:
            self._base_ns = (
                float(trip_ns) if self._base_ns is None else self._base_ns + BASE_WEIGHT * (trip_ns - self._base_ns)
            )
        elif self._base_ns is not None and trip_ns > QUEUED_RATIO * self._base_ns + QUEUED_SLACK_NS:
            self._limit = 1
            self._num_single = 0
        if self._limit == 1:
            self._num_single += 1
            if self._num_single > PROBE_FRAMES:
                self._limit = MAX_UNACKNOWLEDGED


class TokenBucket:
    """A token bucket that limits how fast a browser's messages are read.

    Args:
        per_second: refill rate.
        capacity: maximum and initial number of tokens, which limits a burst.
        now_seconds: monotonic time.
    """

    def __init__(self, per_second: float, capacity: float, now_seconds: float) -> None:
        self._per_second = per_second
        self._capacity = capacity
        self._tokens = capacity
        self._seen_seconds = now_seconds

    def take(self, amount: float, now_seconds: float) -> float:
        """Take tokens and return the seconds to wait before the next call; 0 while tokens are left."""
        elapsed = max(now_seconds - self._seen_seconds, 0.0)
        self._seen_seconds = max(now_seconds, self._seen_seconds)
        self._tokens = min(self._tokens + elapsed * self._per_second, self._capacity) - amount
        return max(-self._tokens / self._per_second, 0.0)
