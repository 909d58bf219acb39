"""Where frames wait for the network: one mailbox for each source, one lock for all of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from streamseg.runtime.batching import Batcher, Waiting
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter, Drops

__all__ = ["FILE_CAPACITY", "FrameQueue", "Mailbox", "Taken"]

FILE_CAPACITY = 2
"""Frames of a file that wait: one decodes ahead while another is taken; more would only hold memory."""


class Mailbox:
    """The frames of one source that wait. A live source has one place, where the newest frame wins."""

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
        """Add a frame; a live source's older one gives way and is counted, but its place in the row is kept."""
        if not self._frames:
            self._since_ns = now_ns
        elif self.is_live:
            self.drop("newer_frame")
        self._frames.append(frame)

    def take(self, now_ns: int) -> Frame:
        """Remove the oldest frame; IndexError where there is none."""
        frame = self._frames.popleft()
        self._since_ns = now_ns
        return frame

    def drop(self, reason: str) -> None:
        """Throw away what waits, and count it."""
        if self._frames:
            self.drops.count("mailbox", reason, len(self._frames))
            self._frames.clear()

    def waiting(self) -> Waiting:
        """What the batching policy wants to know."""
        received_ns = self._frames[0].received_ns if self._frames else 0
        return Waiting(self.source_id, self.is_live, len(self._frames), self._since_ns, received_ns)


@dataclass(frozen=True)
class Taken:
    """What the network's thread does next."""

    frames: tuple[Frame, ...]
    """A batch; empty where sources have ended and nothing else is to be done."""
    ended: tuple[str, ...] = ()
    """Sources of which no frame will come after this batch."""


class FrameQueue:
    """All mailboxes: capture threads put, the network's thread takes. Every method may be called from any thread.

    Args:
        sources: whether each source is live, by source id.
        batcher: decides what is taken together.
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
        """Sources that owe a frame to `step`."""
        self._is_closed = False
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)
        self._has_room = threading.Condition(lock)

    def put(self, frame: Frame) -> bool:
        """Hand in a frame; waits for room where its source is a file.

        Returns:
            False where nobody will take it any more, so that the caller may end.
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
                self._batcher.arrived(frame.source_id, now_ns)
            mailbox.put(frame, now_ns)
            if mailbox.is_live and self._is_paused and frame.source_id not in self._stepping:
                mailbox.drop("paused")
            else:
                self._arrived.notify()
            return True

    def end(self, source_id: str) -> None:
        """No more frames will come from this source; what waits is still taken."""
        with self._arrived:
            self._mailboxes[source_id].has_ended = True
            self._batcher.ended(source_id)
            self._arrived.notify()

    def take(self) -> Taken | None:
        """Wait for the next batch; None once every source has ended or `close` was called."""
        with self._arrived:
            while not self._is_closed:
                ended = self._close_ended()
                if ended:
                    return Taken((), ended)
                if not self._open:
                    return None
                timeout_seconds = None
                waiting = self._waiting()
                if waiting:
                    now_ns = self._now_ns()
                    decision = self._batcher.decide(waiting, now_ns)
                    for source_id in decision.drop:
                        self._open[source_id].drop("too_old")
                    if decision.take:
                        frames = tuple(self._open[source_id].take(now_ns) for source_id in decision.take)
                        self._stepping.difference_update(decision.take)
                        self._has_room.notify_all()
                        return Taken(frames, self._close_ended())
                    if decision.drop:
                        continue  # the last frame of a source that has ended may have been among them
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
        """Go on after `pause`."""
        with self._arrived:
            self._is_paused = False
            self._stepping.clear()
            self._arrived.notify()

    def step(self) -> bool:
        """Let one frame of each source through a pause: of a file its next, of a live source the next to arrive.

        A source that still owes one from the step before owes no second.

        Returns:
            False where there is no pause; then nothing is done.
        """
        with self._arrived:
            if self._is_paused:
                self._stepping.update(self._open)
                self._arrived.notify()
            return self._is_paused

    @property
    def is_paused(self) -> bool:
        """Whether `pause` is in force."""
        return self._is_paused

    def close(self) -> None:
        """Stop at once: what waits is dropped and counted, and nobody waits here any longer."""
        with self._arrived:
            self._is_closed = True
            for mailbox in self._open.values():
                mailbox.drop("stopped")
            self._arrived.notify_all()
            self._has_room.notify_all()

    def discard(self, frames: Sequence[Frame]) -> None:
        """Count frames that were taken and, the run being stopped, not used."""
        with self._arrived:
            for frame in frames:
                self._mailboxes[frame.source_id].drops.count("mailbox", "stopped")

    def drops(self, source_id: str) -> Drops:
        """Frames of one source that were dropped here."""
        return self._mailboxes[source_id].drops.snapshot()

    def _waiting(self) -> list[Waiting]:
        """What may be taken from; nothing in a pause, but for a step."""
        if not self._is_paused:
            return [mailbox.waiting() for mailbox in self._open.values()]
        offers = (mailbox.waiting() for source_id, mailbox in self._open.items() if source_id in self._stepping)
        return [replace(offer, num_ready=min(offer.num_ready, 1)) for offer in offers]

    def _close_ended(self) -> tuple[str, ...]:
        """Sources that have ended and of which nothing waits any more; each is named once."""
        ended = tuple(source_id for source_id, box in self._open.items() if box.has_ended and not len(box))
        for source_id in ended:
            del self._open[source_id]
            self._stepping.discard(source_id)
        return ended
