"""Frames that wait for the network: one mailbox per source, one lock for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from streamseg.runtime.batching import Batcher, MailboxState
from streamseg.runtime.deadlines import NO_LIMITS, SourceLimits
from streamseg.runtime.mailbox import Mailbox
from streamseg.runtime.turns import ServiceTime, is_worthwhile
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
        limits = limits if limits is not None else {}
        self._mailboxes = {
            source_id: Mailbox(source_id, is_live=is_live, limits=limits.get(source_id, NO_LIMITS))
            for source_id, is_live in sources.items()
        }
        """The latest mailbox of each source, also after its end, because it has the drops."""
        self._open = dict(self._mailboxes)
        self._removed: list[str] = []
        """Ids of removed sources whose end `take` has not reported yet."""
        self._batcher = batcher
        self._service = ServiceTime()
        self._now_ns = now_ns
        self._is_paused = False
        self._stepping: set[str] = set()
        """Ids of sources that still owe a frame to `step`."""
        self._is_closed = False
        lock = threading.RLock()  # replacing a source removes and adds it
        self._arrived = threading.Condition(lock)
        self._has_room = threading.Condition(lock)

    def __len__(self) -> int:
        """Return the number of waiting frames."""
        with self._arrived:
            return sum(len(mailbox) for mailbox in self._open.values())

    def put(self, frame: Frame) -> bool:
        """Add a frame to the mailbox of its source, see `feed`."""
        return self._put(self._mailboxes[frame.source_id], frame)

    def feed(self, source_id: str) -> Feed:
        """Return the entrance of a source as it is now."""
        with self._arrived:
            return Feed(self, self._mailboxes[source_id])

    def add_source(self, source_id: str, *, is_live: bool, limits: SourceLimits = NO_LIMITS) -> None:
        """Add a source; if it was removed before, its counts of drops continue.

        Raises:
            ValueError: the queue is closed, or there is such a source, and it has not ended.
        """
        with self._arrived:
            if self._is_closed:
                raise ValueError("the run has ended")
            if source_id in self._open:
                raise ValueError(f"there is a source {source_id!r} already")
            before = self._mailboxes.get(source_id)
            mailbox = Mailbox(source_id, is_live=is_live, limits=limits)
            if before is not None:
                mailbox.drops = before.drops
            self._mailboxes[source_id] = self._open[source_id] = mailbox

    def remove_source(self, source_id: str) -> None:
        """Remove a source: its waiting frames are dropped and counted. Without effect if it has ended.

        `take` reports its end before any later frame, also of a source that is added with the same id.
        """
        with self._arrived:
            mailbox = self._open.pop(source_id, None)
            if mailbox is None:
                return
            mailbox.has_ended = True
            mailbox.drop("removed")
            self._batcher.end_source(source_id)
            self._stepping.discard(source_id)
            self._removed.append(source_id)
            self._arrived.notify()
            self._has_room.notify_all()

    def replace_source(self, source_id: str, *, is_live: bool, limits: SourceLimits = NO_LIMITS) -> None:
        """Remove a source and add another one with its id, so that the queue is never without a source in between."""
        with self._arrived:
            self.remove_source(source_id)
            self.add_source(source_id, is_live=is_live, limits=limits)

    def end_source(self, source_id: str) -> None:
        """Mark a source as ended; its waiting frames are still taken."""
        self._end(self._mailboxes[source_id])

    def take(self) -> Batch | None:
        """Wait for the next batch; return None once every source has ended or the queue is closed."""
        has_waited = False
        with self._arrived:
            while not self._is_closed:
                ended = self._remove_ended()
                if ended:
                    return Batch((), ended)
                if not self._open:
                    self._is_closed = True  # a source that is added now would never be taken
                    return None
                timeout_seconds = None
                states = self._states()
                if states:
                    now_ns = self._now_ns()
                    decision = self._batcher.decide(states, now_ns)
                    for source_id in decision.drop:
                        self._open[source_id].drop(self._open[source_id].late_reason)
                    if decision.take:
                        frames = tuple(self._take(source_id, now_ns) for source_id in decision.take)
                        self._service.taken(len(frames), now_ns, has_waited=has_waited)
                        self._stepping.difference_update(decision.take)
                        self._has_room.notify_all()
                        return Batch(frames, self._remove_ended())
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

    def is_late(self, frame: Frame, taken_ns: int) -> bool:
        """Return whether a processed frame is too old to be published, and count it then.

        Args:
            frame: a frame that was taken.
            taken_ns: when; the time since then predicts that of later frames.
        """
        with self._arrived:
            mailbox, now_ns = self._mailboxes[frame.source_id], self._now_ns()
            if not mailbox.is_live:
                return False
            self._batcher.deadlines.finished(
                frame.source_id,
                frame.degradation,
                taken_ns=taken_ns,
                received_ns=frame.received_ns,
                lag_ns=frame.lag_ns,
                limits=mailbox.limits,
                now_ns=now_ns,
            )
            waited_ns, age_ns = now_ns - frame.received_ns, frame.age_ns(now_ns)
            if not self._batcher.is_too_late(frame.source_id, waited_ns, age_ns, mailbox.limits):
                return False
            mailbox.drops.count("publish", mailbox.late_reason)
            return True

    def degradation(self, source_id: str) -> Degradation:
        """Return how the next frame of a source is to be processed."""
        with self._arrived:
            return self._batcher.deadlines.degradation(source_id)

    def drops(self, source_id: str) -> Drops:
        """Return the drops of one source in this queue."""
        return self._mailboxes[source_id].drops.snapshot()

    def _put(self, mailbox: Mailbox, frame: Frame) -> bool:
        with self._arrived:
            while not (mailbox.has_room or mailbox.has_ended or self._is_closed):
                self._has_room.wait()
            if self._is_closed or mailbox.has_ended:
                mailbox.drops.count("mailbox", "stopped" if self._is_closed else "removed")
                return False
            now_ns = self._now_ns()
            if mailbox.is_live and not mailbox.capturing_ns:
                self._batcher.record_arrival(frame.source_id, now_ns)
            if not mailbox.capturing_ns and self._skips(mailbox):
                mailbox.drops.count("mailbox", "degraded")
                return True
            if not mailbox.admits(now_ns):
                return True
            mailbox.put(frame, now_ns)
            if mailbox.is_live and self._is_paused and frame.source_id not in self._stepping:
                mailbox.drop("paused")
            else:
                self._arrived.notify()
            return True

    def _unwanted(self, mailbox: Mailbox) -> str | None:
        with self._arrived:
            if not mailbox.is_live or mailbox.has_ended or self._is_closed:
                return None  # `put` waits for room, or ends the source
            now_ns = self._now_ns()
            source_id = mailbox.source_id
            self._batcher.record_arrival(source_id, now_ns)
            if self._is_paused and source_id not in self._stepping:
                return "paused"
            if self._skips(mailbox):
                return "degraded"
            if mailbox.is_early(now_ns):
                return "max_fps"
            others = (box.place(now_ns) for box in self._open.values() if box is not mailbox and box.is_live)
            period_ns, service_ns = self._batcher.period_ns(source_id), self._service.per_frame_ns
            if not is_worthwhile(mailbox.place(now_ns), others, now_ns, period_ns=period_ns, service_ns=service_ns):
                return "busy"
            mailbox.capturing_ns = now_ns
            return None

    def _take(self, source_id: str, now_ns: int) -> Frame:
        frame = self._open[source_id].take(now_ns)
        degradation = self._batcher.deadlines.degradation(source_id)
        return replace(frame, degradation=degradation) if degradation.step else frame

    def _skips(self, mailbox: Mailbox) -> bool:
        """Count a frame of a live source; return whether only others of its frames are processed at its quality."""
        return mailbox.is_live and mailbox.skips(self._batcher.deadlines.degradation(mailbox.source_id).every_nth)

    def _end(self, mailbox: Mailbox) -> None:
        with self._arrived:
            if self._open.get(mailbox.source_id) is mailbox:
                mailbox.has_ended = True
                self._batcher.end_source(mailbox.source_id)
                self._arrived.notify()

    def _states(self) -> list[MailboxState]:
        """Return the mailboxes from which frames may be taken; while paused, only for a step."""
        if not self._is_paused:
            return [mailbox.state() for mailbox in self._open.values()]
        states = (mailbox.state() for source_id, mailbox in self._open.items() if source_id in self._stepping)
        return [replace(state, num_ready=min(state.num_ready, 1)) for state in states]

    def _remove_ended(self) -> tuple[str, ...]:
        """Remove and return the sources that have ended and have no waiting frame; each is returned once."""
        removed, self._removed = tuple(self._removed), []
        ended = tuple(source_id for source_id, box in self._open.items() if box.has_ended and not len(box))
        for source_id in ended:
            del self._open[source_id]
            self._stepping.discard(source_id)
        return removed + ended


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
            `busy` if a newer frame will replace it before its turn, `max_fps`, or `paused`.
        """
        return self._queue._unwanted(self._mailbox)

    def end(self) -> None:
        """Mark the source as ended; its waiting frames are still taken. Without effect if it was removed."""
        self._queue._end(self._mailbox)
