"""Which frames are worth their work: before they are decoded, when they arrive, and after the network."""

from __future__ import annotations

from streamseg.runtime.batching import Batcher
from streamseg.runtime.mailbox import Mailbox
from streamseg.runtime.mailboxes import Mailboxes
from streamseg.runtime.turns import STALE_SERVICES, ServiceTime, is_worthwhile
from streamseg.structures.frame import Frame

__all__ = ["Admission"]


class Admission:
    """Decides about single frames. Not thread-safe: the `FrameQueue` guards it with its lock.

    Args:
        boxes: mailboxes of all sources.
        batcher: knows the rates of the sources, and their deadlines.
    """

    def __init__(self, boxes: Mailboxes, batcher: Batcher) -> None:
        self._boxes = boxes
        self._batcher = batcher
        self.service = ServiceTime()
        """Time that the network takes per frame."""

    def unwanted(self, mailbox: Mailbox, now_ns: int) -> str | None:
        """Return why a frame of a live source that has just arrived need not be decoded, see `Feed.unwanted`."""
        source_id = mailbox.source_id
        self._batcher.record_arrival(source_id, now_ns)
        if self._boxes.holds(source_id):
            return "paused"
        if self._skips(mailbox):
            return "degraded"
        if mailbox.is_early(now_ns):
            return "max_fps"
        others = (box.place(now_ns) for box in self._boxes.open.values() if box is not mailbox and box.is_live)
        period_ns, service_ns = self._batcher.period_ns(source_id), self.service.per_frame_ns
        if not is_worthwhile(mailbox.place(now_ns), others, now_ns, period_ns=period_ns, service_ns=service_ns):
            mailbox.drop_older(now_ns - round(STALE_SERVICES * service_ns))
            return "busy"
        mailbox.capturing_ns = now_ns
        return None

    def admits(self, mailbox: Mailbox, now_ns: int) -> bool:
        """Return whether a frame that has arrived may wait in its mailbox, and count it if it may not."""
        if not mailbox.capturing_ns:  # else `unwanted` has decided
            if mailbox.is_live:
                self._batcher.record_arrival(mailbox.source_id, now_ns)
            if self._skips(mailbox):
                mailbox.drops.count("mailbox", "degraded")
                return False
        return mailbox.admits(now_ns)

    def is_late(self, mailbox: Mailbox, frame: Frame, *, taken_ns: int, now_ns: int) -> bool:
        """Return whether a processed frame is too old to be published, and count it then; see `FrameQueue.is_late`."""
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

    def _skips(self, mailbox: Mailbox) -> bool:
        """Count a frame of a live source; return whether only others of its frames are processed at its quality."""
        return mailbox.is_live and mailbox.skips(self._batcher.deadlines.degradation(mailbox.source_id).every_nth)
