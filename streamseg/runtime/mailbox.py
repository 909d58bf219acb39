"""Frames that wait for the network: one mailbox per source, one lock for all of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from streamseg.runtime.batching import Batcher, MailboxState
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter, Drops

__all__ = ["FILE_CAPACITY", "Batch", "FrameQueue", "Mailbox"]

FILE_CAPACITY = 2
"""Capacity of a file's mailbox, in frames: one is decoded while another is taken; more would only hold memory."""


class Mailbox:
    """Waiting frames of one source. A live source has a single place, in which the newest frame wins."""

    def __init__(self, source_id: str, *, is_live: bool) -> None:
        self.source_id = source_id
        self.is_live = is_live
        self.has_ended = False
        self.drops = DropCounter()
        self._frames: deque[Frame] = deque()
        self._since_ns = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def has_room(self) -> bool:
        """Whether `put` may be called. A live source never waits for room."""
        return self.is_live or len(self._frames) < FILE_CAPACITY

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
        received_ns = self._frames[0].received_ns if self._frames else 0
        return MailboxState(self.source_id, self.is_live, len(self._frames), self._since_ns, received_ns)


@dataclass(frozen=True)
class Batch:
    """Frames that go through the network together, and the sources that end with them."""

    frames: tuple[Frame, ...]
    """Empty if sources have ended and no frame is ready."""
    ended: tuple[str, ...] = ()
    """Ids of sources that deliver no frame after this batch."""


class FrameQueue:
    """All mailboxes: capture threads put, the network's thread takes. Every method is thread-safe.

    Args:
        sources: whether each source is live, by source id.
        batcher: decides which frames are taken together.
        now_ns: monotonic clock.
    """

    def __init__(
        self, sources: Mapping[str, bool], batcher: Batcher, *, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._mailboxes = {source_id: Mailbox(source_id, is_live=is_live) for source_id, is_live in sources.items()}
        self._open = dict(self._mailboxes)
        self._batcher = batcher
        self._now_ns = now_ns
        self._is_paused = False
        self._stepping: set[str] = set()
        """Ids of sources that still owe a frame to `step`."""
        self._is_closed = False
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)
        self._has_room = threading.Condition(lock)

    def put(self, frame: Frame) -> bool:
        """Add a frame; a file's frame waits for room.

        Returns:
            False if the queue is closed, so that the caller can end.
        """
        with self._arrived:
            mailbox = self._mailboxes[frame.source_id]
            while not (mailbox.has_room or self._is_closed):
                self._has_room.wait()
            if self._is_closed:
                mailbox.drops.count("mailbox", "stopped")
                return False
            now_ns = self._now_ns()
            if mailbox.is_live:
                self._batcher.record_arrival(frame.source_id, now_ns)
            mailbox.put(frame, now_ns)
            if mailbox.is_live and self._is_paused and frame.source_id not in self._stepping:
                mailbox.drop("paused")
            else:
                self._arrived.notify()
            return True

    def end_source(self, source_id: str) -> None:
        """Mark a source as ended; its waiting frames are still taken."""
        with self._arrived:
            self._mailboxes[source_id].has_ended = True
            self._batcher.end_source(source_id)
            self._arrived.notify()

    def take(self) -> Batch | None:
        """Wait for the next batch; return None once every source has ended or the queue is closed."""
        with self._arrived:
            while not self._is_closed:
                ended = self._remove_ended()
                if ended:
                    return Batch((), ended)
                if not self._open:
                    return None
                timeout_seconds = None
                states = self._states()
                if states:
                    now_ns = self._now_ns()
                    decision = self._batcher.decide(states, now_ns)
                    for source_id in decision.drop:
                        self._open[source_id].drop("too_old")
                    if decision.take:
                        frames = tuple(self._open[source_id].take(now_ns) for source_id in decision.take)
                        self._stepping.difference_update(decision.take)
                        self._has_room.notify_all()
                        return Batch(frames, self._remove_ended())
                    if decision.drop:
                        continue  # the last frame of an ended source may have been dropped
                    if decision.wait_until_ns is not None:
                        timeout_seconds = max(decision.wait_until_ns - now_ns, 0) / 1e9
                self._arrived.wait(timeout_seconds)
            return None

    def pause(self) -> None:
        """Take nothing until `resume`: live frames are dropped and counted, files wait."""
        with self._arrived:
            self._is_paused = True
            self._stepping.clear()
            for mailbox in self._open.values():
                if mailbox.is_live:
                    mailbox.drop("paused")
            self._arrived.notify()

    def resume(self) -> None:
        """Continue after `pause`."""
        with self._arrived:
            self._is_paused = False
            self._stepping.clear()
            self._arrived.notify()

    def step(self) -> bool:
        """Let one frame of each source through while paused: a file's next frame, a live source's next arrival.

        A source that still owes a frame to the previous step does not owe a second one.

        Returns:
            False, without effect, if the queue is not paused.
        """
        with self._arrived:
            if self._is_paused:
                self._stepping.update(self._open)
                self._arrived.notify()
            return self._is_paused

    @property
    def is_paused(self) -> bool:
        """Whether the queue is paused."""
        return self._is_paused

    def close(self) -> None:
        """Close at once: waiting frames are dropped and counted, and every waiting call returns."""
        with self._arrived:
            self._is_closed = True
            for mailbox in self._open.values():
                mailbox.drop("stopped")
            self._arrived.notify_all()
            self._has_room.notify_all()

    def discard(self, frames: Sequence[Frame]) -> None:
        """Count frames that were taken but not used because the run was stopped."""
        with self._arrived:
            for frame in frames:
                self._mailboxes[frame.source_id].drops.count("mailbox", "stopped")

    def drops(self, source_id: str) -> Drops:
        """Return the drops of one source in this queue."""
        return self._mailboxes[source_id].drops.snapshot()

    def _states(self) -> list[MailboxState]:
        """Return the mailboxes from which frames may be taken; while paused, only for a step."""
        if not self._is_paused:
            return [mailbox.state() for mailbox in self._open.values()]
        states = (mailbox.state() for source_id, mailbox in self._open.items() if source_id in self._stepping)
        return [replace(state, num_ready=min(state.num_ready, 1)) for state in states]

    def _remove_ended(self) -> tuple[str, ...]:
        """Remove and return the sources that have ended and have no waiting frame; each is returned once."""
        ended = tuple(source_id for source_id, box in self._open.items() if box.has_ended and not len(box))
        for source_id in ended:
            del self._open[source_id]
            self._stepping.discard(source_id)
        return ended
