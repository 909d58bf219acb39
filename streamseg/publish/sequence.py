"""What did not arrive, from the sequence numbers of what did."""

from __future__ import annotations

__all__ = ["SequenceTracker"]


class SequenceTracker:
    """Counts gaps per source. A pure state machine; each message is told to it once, in order of arrival."""

    def __init__(self) -> None:
        self.gaps: dict[str, int] = {}
        """Messages that were sent and did not arrive, by source; sources without a message are missing."""
        self.restarts: dict[str, int] = {}
        """How often another run of the publisher took over; what was lost meanwhile cannot be known."""
        self._last: dict[str, tuple[str, int]] = {}

    def received(self, source_id: str, epoch: str, seq: int) -> bool:
        """Take note of a message; False for one that is not newer than the last."""
        if source_id not in self._last:
            self.gaps[source_id] = self.restarts[source_id] = 0
        else:
            last_epoch, last_seq = self._last[source_id]
            if epoch != last_epoch:
                self.restarts[source_id] += 1
            elif seq <= last_seq:
                return False
            else:
                self.gaps[source_id] += seq - last_seq - 1
        self._last[source_id] = (epoch, seq)
        return True

    def was_sent(self, source_id: str, epoch: str, seq: int) -> None:
        """Take note that the publisher has sent everything up to `seq`, so that it will not arrive any more."""
        last_epoch, last_seq = self._last.get(source_id, ("", -1))
        if source_id in self._last and epoch == last_epoch and seq > last_seq:
            self.gaps[source_id] += seq - last_seq
            self._last[source_id] = (epoch, seq)
