"""Actions that are carried out later, each after a delay of its own."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

__all__ = ["DelayLine"]


class DelayLine:
    """One thread that carries out actions when they are due; close it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="delay-line")
        self._thread.start()

    def add(self, seconds: float, action: Callable[[], object]) -> None:
        """Carry out an action after a time."""
        with self._changed:
            heapq.heappush(self._waiting, (time.monotonic() + seconds, next(self._number), action))
            self._changed.notify_all()

    def close(self) -> None:
        """Discard what is waiting."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            with contextlib.suppress(OSError):  # the socket was closed
                action()

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            while not self._is_closing:
                rest = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if rest is not None and rest <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(rest)
        return None
