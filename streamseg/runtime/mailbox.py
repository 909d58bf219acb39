"""The frames of one source that wait for the network."""

from __future__ import annotations

from collections import deque

from streamseg.runtime.batching import MailboxState
from streamseg.runtime.deadlines import NO_LIMITS, SourceLimits
from streamseg.runtime.turns import CAPTURE_NS, Place
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["FILE_CAPACITY", "Mailbox"]

FILE_CAPACITY = 2
"""Capacity of a file's mailbox, in frames: one is decoded while another is taken; more would only hold memory."""


class Mailbox:
    """Waiting frames of one source. A live source has a single place, in which the newest frame wins."""

    def __init__(self, source_id: str, *, is_live: bool, limits: SourceLimits = NO_LIMITS) -> None:
        self.source_id = source_id
        self.is_live = is_live
        self.limits = limits
        self.has_ended = False
        self.drops = DropCounter()
        self._frames: deque[Frame] = deque()
        self.served_ns = 0
        """Time at which the last frame was taken; 0 before the first."""
        self.capturing_ns = 0
        """Time since which a frame is being decoded; 0 if none is."""
        self._since_ns = 0
        self._due_ns = 0
        self._num_arrived = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def has_room(self) -> bool:
        """Whether `put` may be called. A live source never waits for room."""
        return self.is_live or len(self._frames) < FILE_CAPACITY

    def skips(self, every_nth: int) -> bool:
        """Count an arriving frame; return whether it is none of every n-th."""
        self._num_arrived += 1
        return self._num_arrived % every_nth != 0

    def admits(self, now_ns: int) -> bool:
        """Return whether a live source's frame comes late enough after the last one; other frames are counted."""
        if not self.is_live or not self.limits.min_period_ns:
            return True
        if self.is_early(now_ns):
            self.drops.count("mailbox", "max_fps")
            return False
        self._due_ns = max(self._due_ns + self.limits.min_period_ns, now_ns)
        return True

    def is_early(self, now_ns: int) -> bool:
        """Return whether a frame that comes now exceeds the rate of the source's limits."""
        # Frames come a little early and a little late; their mean rate is limited, not each gap.
        return self.is_live and now_ns < self._due_ns - self.limits.min_period_ns // 2

    def place(self, now_ns: int) -> Place:
        """Return the place of the source in the line for the network."""
        is_capturing = bool(self.capturing_ns) and now_ns - self.capturing_ns < CAPTURE_NS
        return Place(self.served_ns, self.limits.weight, bool(self._frames) or is_capturing)

    def put(self, frame: Frame, now_ns: int) -> None:
        """Add a frame. It replaces a live source's older one, which is counted, and keeps that one's waiting time."""
        if not self._frames:
            self._since_ns = now_ns
        elif self.is_live:
            self.drop("newer_frame")
        self._frames.append(frame)
        self.capturing_ns = 0

    def take(self, now_ns: int) -> Frame:
        """Remove and return the oldest frame; raises IndexError if the mailbox is empty."""
        frame = self._frames.popleft()
        self._since_ns = self.served_ns = now_ns
        return frame

    def drop(self, reason: str) -> None:
        """Discard and count all waiting frames."""
        if self._frames:
            self.drops.count("mailbox", reason, len(self._frames))
            self._frames.clear()

    def drop_older(self, received_ns: int) -> None:
        """Discard and count a live source's waiting frame, if it was received before this monotonic time."""
        if self._frames and self._frames[0].received_ns < received_ns:
            self.drop("newer_frame")

    def drop_late(self) -> None:
        """Discard and count the waiting frame, which is too old."""
        self.drop(self.late_reason)

    def state(self) -> MailboxState:
        """Return the state on which the batching policy decides."""
        received_ns, lag_ns = (self._frames[0].received_ns, self._frames[0].lag_ns) if self._frames else (0, 0)
        return MailboxState(
            self.source_id,
            self.is_live,
            len(self._frames),
            self._since_ns,
            received_ns,
            lag_ns=lag_ns,
            limits=self.limits,
            served_ns=self.served_ns if self.is_live else None,
        )

    @property
    def late_reason(self) -> str:
        """Reason of drops of frames that are too old."""
        return "too_old" if self.limits.deadline_ns is None else "deadline"
