"""Lost messages and restarts of a publisher, from sequence numbers."""

from __future__ import annotations

__all__ = ["SequenceTracker"]


class SequenceTracker:
    """Counts lost messages per source from sequence numbers.

    A pure state machine, called once per message in order of arrival.
    """

    def __init__(self) -> None:
        self.gaps: dict[str, int] = {}
        """Number of messages sent but not received, by source; contains only sources with a message."""
        self.restarts: dict[str, int] = {}
        """Number of publisher restarts, by source; losses during a restart are unknown."""
        self._last: dict[str, tuple[str, int]] = {}

    def received(self, source_id: str, epoch: str, seq: int) -> bool:
        """Record a received message; return False if it is not newer than the last one."""
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
        """Record that the publisher has sent all messages up to `seq`: those not received by now are lost."""
        last_epoch, last_seq = self._last.get(source_id, ("", -1))
        if source_id in self._last and epoch == last_epoch and seq > last_seq:
            self.gaps[source_id] += seq - last_seq
            self._last[source_id] = (epoch, seq)
