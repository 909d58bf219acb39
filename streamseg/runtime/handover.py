"""The place between two threads where one piece of work waits."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["SlotQueue"]

T = TypeVar("T")


class SlotQueue(Generic[T]):
    """Holds one piece of work between its producer and its consumer.

    The producer waits for room *before* it chooses its next work, so that what it chooses is fresh
    when the consumer is the slower of the two. Either side may close it, which ends every wait.
    """

    def __init__(self) -> None:
        self._work: T | None = None
        self._is_closed = False
        self._changed = threading.Condition()

    def wait_for_room(self) -> bool:
        """Wait until `put` will not block; False where it was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._work is None)
            return not self._is_closed

    def put(self, work: T) -> bool:
        """Hand over; waits for room. False where it was closed: the work is not taken over."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._work is None)
            if self._is_closed:
                return False
            self._work = work
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """Wait for work; None where it was closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._work is not None)
            work, self._work = self._work, None
            self._changed.notify_all()
            return work

    def close(self) -> None:
        """No more work will be put; what is there may still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
