"""Frames that wait for the network: one mailbox per source, one lock for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from streamseg.runtime.admission import Admission
from streamseg.runtime.batching import Batcher
from streamseg.runtime.deadlines import NO_LIMITS, SourceLimits
from streamseg.runtime.mailbox import Mailbox
from streamseg.runtime.mailboxes import Mailboxes
from streamseg.structures.degradation import Degradation
from streamseg.structures.frame import Frame
from streamseg.telemetry import Drops

__all__ = ["Batch", "Feed", "FrameQueue"]


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
        limits: limits of sources, by source id; others have none.
        now_ns: monotonic clock.
    """

    def __init__(
        self,
        sources: Mapping[str, bool],
        batcher: Batcher,
        *,
        limits: Mapping[str, SourceLimits] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._boxes = Mailboxes(sources, limits if limits is not None else {})
        self._batcher = batcher
        self._admission = Admission(self._boxes, batcher)
        self._now_ns = now_ns
        self._is_closed = False
        lock = threading.RLock()  # replacing a source removes and adds it
        self._arrived = threading.Condition(lock)
        self._has_room = threading.Condition(lock)

    def __len__(self) -> int:
        """Return the number of waiting frames."""
        with self._arrived:
            return len(self._boxes)

    def put(self, frame: Frame) -> bool:
        """Add a frame to the mailbox of its source, see `feed`."""
        return self._put(self._boxes.latest[frame.source_id], frame)

    def feed(self, source_id: str) -> Feed:
        """Return the entrance of a source as it is now."""
        with self._arrived:
            return Feed(self, self._boxes.latest[source_id])

    def add_source(self, source_id: str, *, is_live: bool, limits: SourceLimits = NO_LIMITS) -> None:
        """Add a source; if it was removed before, its counts of drops continue.

        Raises:
            ValueError: the queue is closed, or there is such a source, and it has not ended.
        """
        with self._arrived:
            if self._is_closed:
                raise ValueError("the run has ended")
            self._boxes.add(source_id, is_live=is_live, limits=limits)

    def remove_source(self, source_id: str) -> None:
        """Remove a source: its waiting frames are dropped and counted. Without effect if it has ended.

        `take` reports its end before any later frame, also of a source that is added with the same id.
        """
        with self._arrived:
            if not self._boxes.remove(source_id):
                return
            self._batcher.end_source(source_id)
            self._arrived.notify()
            self._has_room.notify_all()

    def replace_source(self, source_id: str, *, is_live: bool, limits: SourceLimits = NO_LIMITS) -> None:
        """Remove a source and add another one with its id, so that the queue is never without a source in between."""
        with self._arrived:
            self.remove_source(source_id)
            self.add_source(source_id, is_live=is_live, limits=limits)

    def end_source(self, source_id: str) -> None:
        """Mark a source as ended; its waiting frames are still taken."""
        self._end(self._boxes.latest[source_id])

    def take(self) -> Batch | None:
        """Wait for the next batch; return None once every source has ended or the queue is closed."""
        has_waited = False
        with self._arrived:
            while not self._is_closed:
                ended = self._boxes.take_ended()
                if ended:
                    return Batch((), ended)
                if not self._boxes.open:
                    self._is_closed = True  # a source that is added now would never be taken
                    return None
                timeout_seconds = None
                states = self._boxes.states()
                if states:
                    now_ns = self._now_ns()
                    decision = self._batcher.decide(states, now_ns)
                    for source_id in decision.drop:
                        self._boxes.open[source_id].drop_late()
                    if decision.take:
                        frames = tuple(self._take(source_id, now_ns) for source_id in decision.take)
                        self._admission.service.taken(len(frames), now_ns, has_waited=has_waited)
                        self._boxes.stepped(decision.take)
                        self._has_room.notify_all()
                        return Batch(frames, self._boxes.take_ended())
                    if decision.drop:
                        continue  # the last frame of an ended source may have been dropped
                    if decision.wait_until_ns is not None:
                        timeout_seconds = max(decision.wait_until_ns - now_ns, 0) / 1e9
                has_waited = True
                self._arrived.wait(timeout_seconds)
            return None

    def pause(self) -> None:
        """Take nothing until `resume`: live frames are dropped and counted, files wait."""
        with self._arrived:
            self._boxes.pause()
            self._arrived.notify()

    def resume(self) -> None:
        """Continue after `pause`."""
        with self._arrived:
            self._boxes.resume()
            self._arrived.notify()

    def step(self) -> bool:
        """Let one frame of each source through while paused: a file's next frame, a live source's next arrival.

        A source that still owes a frame to the previous step does not owe a second one.

        Returns:
            False, without effect, if the queue is not paused.
        """
        with self._arrived:
            if self._boxes.is_paused:
                self._boxes.step()
                self._arrived.notify()
            return self._boxes.is_paused

    @property
    def is_paused(self) -> bool:
        """Whether the queue is paused."""
        return self._boxes.is_paused

    def close(self) -> None:
        """Close at once: waiting frames are dropped and counted, and every waiting call returns."""
        with self._arrived:
            self._is_closed = True
            for mailbox in self._boxes.open.values():
                mailbox.drop("stopped")
            self._arrived.notify_all()
            self._has_room.notify_all()

    def discard(self, frames: Sequence[Frame]) -> None:
        """Count frames that were taken but not used because the run was stopped."""
        with self._arrived:
            for frame in frames:
                self._boxes.latest[frame.source_id].drops.count("mailbox", "stopped")

    def is_late(self, frame: Frame, taken_ns: int) -> bool:
        """Return whether a processed frame is too old to be published, and count it then.

        Args:
            frame: a frame that was taken.
            taken_ns: when; the time since then predicts that of later frames.
        """
        with self._arrived:
            mailbox = self._boxes.latest[frame.source_id]
            return self._admission.is_late(mailbox, frame, taken_ns=taken_ns, now_ns=self._now_ns())

    def degradation(self, source_id: str) -> Degradation:
        """Return how the next frame of a source is to be processed."""
        with self._arrived:
            return self._batcher.deadlines.degradation(source_id)

    def drops(self, source_id: str) -> Drops:
        """Return the drops of one source in this queue."""
        return self._boxes.latest[source_id].drops.snapshot()

    def _put(self, mailbox: Mailbox, frame: Frame) -> bool:
        with self._arrived:
            while not (mailbox.has_room or mailbox.has_ended or self._is_closed):
                self._has_room.wait()
            if self._is_closed or mailbox.has_ended:
                mailbox.drops.count("mailbox", "stopped" if self._is_closed else "removed")
                return False
            now_ns = self._now_ns()
            if not self._admission.admits(mailbox, now_ns):
                return True
            mailbox.put(frame, now_ns)
            if mailbox.is_live and self._boxes.holds(frame.source_id):
                mailbox.drop("paused")
            else:
                self._arrived.notify()
            return True

    def _unwanted(self, mailbox: Mailbox) -> str | None:
        with self._arrived:
            if not mailbox.is_live or mailbox.has_ended or self._is_closed:
                return None  # `put` waits for room, or ends the source
            return self._admission.unwanted(mailbox, self._now_ns())

    def _take(self, source_id: str, now_ns: int) -> Frame:
        frame = self._boxes.open[source_id].take(now_ns)
        degradation = self._batcher.deadlines.degradation(source_id)
        return replace(frame, degradation=degradation) if degradation.step else frame

    def _end(self, mailbox: Mailbox) -> None:
        with self._arrived:
            if self._boxes.open.get(mailbox.source_id) is mailbox:
                mailbox.has_ended = True
                self._batcher.end_source(mailbox.source_id)
                self._arrived.notify()


class Feed:
    """Entrance of one source to the queue. A later source with the same id has another one.

    Args:
        queue: the queue.
        mailbox: the source's mailbox in it.
    """

    def __init__(self, queue: FrameQueue, mailbox: Mailbox) -> None:
        self._queue = queue
        self._mailbox = mailbox

    def put(self, frame: Frame) -> bool:
        """Add a frame; a file's frame waits for room.

        Returns:
            False if the queue is closed or the source was removed, so that the caller can end.
        """
        return self._queue._put(self._mailbox, frame)

    def unwanted(self) -> str | None:
        """Return the reason why a frame that has just arrived need not be decoded; None if it is to be `put`.

        Call it once per frame of a live source, before the work of decoding or rendering.

        Returns:
            `busy` if a newer frame will replace it before its turn, `max_fps`, `degraded` if its quality leaves it out,
            or `paused`.
        """
        return self._queue._unwanted(self._mailbox)

    def end(self) -> None:
        """Mark the source as ended; its waiting frames are still taken. Without effect if it was removed."""
        self._queue._end(self._mailbox)
