"""The newest unsent message of each source, handed from the threads that publish to the one that sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from streamseg.errors import PublishError
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message
from streamseg.telemetry import DropCounter, Drops

__all__ = ["Outbox", "Submitted"]


@dataclass(frozen=True, eq=False)
class Submitted:
    """A message that waits to be sent."""

    message: Message
    image: ImageArray | None
    submitted_ns: int
    """Monotonic time of the submission."""


class Outbox:
    """One slot per source, in which a newer message replaces an older one; numbers messages and counts drops.

    Thread-safe.

    Args:
        epoch: identifies the publisher; set in each message.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._changed = threading.Condition()
        self._pending: dict[str, Submitted] = {}
        self._seqs: dict[str, int] = {}
        self._drops: dict[str, DropCounter] = {}
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `put` is rejected."""
        return self._is_closed

    def __bool__(self) -> bool:
        """Return whether a message waits."""
        return bool(self._pending)

    def put(self, message: Message, image: ImageArray | None, *, wait_seconds: float, check: Callable[[], None]) -> int:
        """Put a message into its source's slot.

        Args:
            message: `epoch` and `seq` are set here.
            image: its image; None if there is none.
            wait_seconds: how long to wait until the source's previous message has been taken; then it is replaced.
            check: called after the wait; raises an error of the thread that takes.

        Returns:
            Sequence number of the message within its source.

        Raises:
            PublishError: the outbox is closed.
        """
        source_id = message.source_id
        with self._changed:
            self._changed.wait_for(lambda: source_id not in self._pending or self._is_closed, wait_seconds)
            check()
            if self._is_closed:
                raise PublishError("the publisher is closed; create a new one to publish")
            seq = self._seqs[source_id] = self._seqs.get(source_id, -1) + 1
            if source_id in self._pending:
                self._count_drop(source_id, "newer_frame")
            numbered = replace(message, epoch=self._epoch, seq=seq)
            self._pending[source_id] = Submitted(numbered, image, time.monotonic_ns())
        return seq

    def take(self) -> Submitted | None:
        """Remove and return the message that has waited longest; None if none is pending."""
        with self._changed:
            if not self._pending:
                return None
            pending = self._pending.pop(next(iter(self._pending)))
            self._changed.notify_all()
            return pending

    def count_drop(self, source_id: str, reason: str) -> None:
        """Count a message that did not reach a subscriber."""
        with self._changed:
            self._count_drop(source_id, reason)

    def drops(self, source_id: str) -> Drops:
        """Return the drops of a source so far."""
        with self._changed:
            return self._drops[source_id].snapshot() if source_id in self._drops else {}

    def close(self) -> None:
        """Reject further messages and end all waits. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _count_drop(self, source_id: str, reason: str) -> None:
        self._drops.setdefault(source_id, DropCounter()).count("publish", reason)
