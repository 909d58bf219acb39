"""The frames of one source that wait for the network."""

from __future__ import annotations

from collections import deque

from streamseg.runtime.batching import NO_LIMITS, MailboxState, SourceLimits
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
        self._since_ns = 0
        self._due_ns = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def has_room(self) -> bool:
        """Whether `put` may be called. A live source never waits for room."""
        return self.is_live or len(self._frames) < FILE_CAPACITY

    def admits(self, now_ns: int) -> bool:
        """Return whether a live source's frame comes late enough after the last one; other frames are counted."""
        if not self.is_live or not self.limits.min_period_ns:
            return True
        # Frames come a little early and a little late; their mean rate is limited, not each gap.
        if now_ns < self._due_ns - self.limits.min_period_ns // 2:
            self.drops.count("mailbox", "max_fps")
            return False
        self._due_ns = max(self._due_ns + self.limits.min_period_ns, now_ns)
        return True

    def put(self, frame: Frame, now_ns: int) -> None:
        """Add a frame. It replaces a live source's older one, which is counted, and keeps that one's waiting time."""
        if not self._frames:
            self._since_ns = now_ns
        elif self.is_live:
            self.drop("newer_frame")
        self._frames.append(frame)

    def take(self, now_ns: int) -> Frame:
        """Remove and return the oldest frame; raises IndexError if the mailbox is empty."""
        frame = self._frames.popleft()
        self._since_ns = now_ns
        return frame

    def drop(self, reason: str) -> None:
        """Discard and count all waiting frames."""
        if self._frames:
            self.drops.count("mailbox", reason, len(self._frames))
            self._frames.clear()

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
        )

    @property
    def late_reason(self) -> str:
        """Reason of drops of frames that are too old."""
        return "too_old" if self.limits.deadline_ns is None else "deadline"
