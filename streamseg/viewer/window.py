"""Which frames a browser is sent: the newest, and only while it keeps up. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["MAX_UNACKNOWLEDGED", "Window"]

MAX_UNACKNOWLEDGED: Final = 2
"""One is being drawn while the next is on its way, so that a long way does not halve the rate."""
QUEUED_RATIO: Final = 1.5
QUEUED_SLACK_NS: Final = 5_000_000
"""A frame that was sent behind another and took so much longer than one sent alone has waited for it: two at a time
add age and no frames."""
PROBE_FRAMES: Final = 60
"""After so many frames one at a time, two are tried again."""
BASE_WEIGHT: Final = 0.2
"""Of the latest round trip in the average of those of frames sent alone."""


class Window:
    """The frames of one source that one browser was sent and has not acknowledged.

    At most two, and only one where two would just wait for each other: on a slow line or in a slow browser
    the second one queues behind the first, and everything shown would be older by a frame.
    """

    def __init__(self) -> None:
        self.last_sent = -1
        """Sequence number of the last frame sent; -1 before the first."""
        self._in_flight: deque[tuple[int, int, bool]] = deque()  # (seq, sent at, whether it was alone)
        self._limit = MAX_UNACKNOWLEDGED
        self._num_single = 0
        self._base_ns: float | None = None

    @property
    def num_in_flight(self) -> int:
        """Frames that were sent and not acknowledged."""
        return len(self._in_flight)

    @property
    def limit(self) -> int:
        """Frames that may be unacknowledged at present, 1 or 2."""
        return self._limit

    @property
    def has_room(self) -> bool:
        """Whether another frame may be sent."""
        return len(self._in_flight) < self._limit

    def wants(self, seq: int) -> bool:
        """Whether this frame is to be sent: it is newer than what was, and there is room."""
        return seq > self.last_sent and self.has_room

    def sent(self, seq: int, now_ns: int) -> None:
        """Note a frame that `wants` agreed to; raises ValueError for any other."""
        if not self.wants(seq):
            raise ValueError(
                f"frame {seq} must not be sent after {self.last_sent} with {self.num_in_flight} on their way"
            )
        self._in_flight.append((seq, now_ns, not self._in_flight))
        self.last_sent = seq

    def acknowledged(self, seq: int, now_ns: int) -> bool:
        """Note that a frame was shown, and with it all before it; False for one that was never sent."""
        if not 0 <= seq <= self.last_sent:
            return False
        while self._in_flight and self._in_flight[0][0] <= seq:
            number, sent_ns, was_alone = self._in_flight.popleft()
            if number == seq:
                self._learn(now_ns - sent_ns, was_alone)
        return True

    def _learn(self, trip_ns: int, was_alone: bool) -> None:
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
