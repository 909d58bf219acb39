"""The newest unread message of each source, handed from the thread that receives to the callers that read."""

from __future__ import annotations

import logging
from typing import Final

from streamseg.errors import WireError
from streamseg.publish.sequences import SequenceTracker
from streamseg.wire import Header, Status, decode_status, read_header
from streamseg.wire.message import STATUS_TOPIC

__all__ = ["Inbox"]

MAX_SOURCES: Final = 4096

_LOGGER = logging.getLogger(__name__)


class Inbox:
    """One slot per source, in which a newer message replaces an older one; counts what was lost or replaced.

    Not thread-safe: a `Subscriber` guards it with its lock.
    """

    def __init__(self) -> None:
        self.sequences = SequenceTracker()
        self.skipped: dict[str, int] = {}
        """Number of messages that a newer one replaced, by source."""
        self.num_malformed = 0
        """Number of messages that could not be decoded."""
        self.status: Status | None = None
        """Last status of the publisher; None before the first."""
        self._unread: dict[str, tuple[list[bytes], Header]] = {}

    def __bool__(self) -> bool:
        """Return whether a message is unread."""
        return bool(self._unread)

    def put(self, parts: list[bytes]) -> None:
        """Add a received message or status; one that cannot be decoded is counted, and its error logged."""
        try:
            if parts[0] == STATUS_TOPIC:
                self._put_status(decode_status(parts))
            else:
                self._put_message(parts, read_header(parts))
        except WireError as error:
            self.count_malformed(error)

    def pop(self) -> tuple[list[bytes], Header]:
        """Remove and return the message that has waited longest, with its header. There must be one."""
        return self._unread.pop(next(iter(self._unread)))

    def count_malformed(self, error: WireError) -> None:
        """Count a message that could not be decoded, and log why."""
        self.num_malformed += 1
        _LOGGER.info("a message could not be decoded: %s", error)

    def _put_status(self, status: Status) -> None:
        self.status = status
        for source_id, seq in status.sources.items():
            self.sequences.was_sent(source_id, status.epoch, seq)

    def _put_message(self, parts: list[bytes], header: Header) -> None:
        source_id = header.source_id
        if source_id not in self.sequences.gaps and len(self.sequences.gaps) >= MAX_SOURCES:
            raise WireError(f"received messages of more than {MAX_SOURCES} sources; subscribe to fewer sources")
        if not self.sequences.received(source_id, header.epoch, header.seq):
            return
        if source_id in self._unread:
            self.skipped[source_id] = self.skipped.get(source_id, 0) + 1
        self._unread[source_id] = (parts, header)
