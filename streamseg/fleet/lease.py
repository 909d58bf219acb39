"""How long a worker may hold its cameras without hearing from the fleet: no camera is opened twice."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from streamseg.resources import Resource

__all__ = ["LEASE_SHARE", "Lease"]

LEASE_SHARE: Final = 0.9
"""Part of `lost_seconds` for which a report permits to hold cameras; the rest is for closing them."""
MAX_REPORTS: Final = 16
"""Number of reports whose acknowledgement is still accepted."""


class Lease(Resource):
    """Ends the cameras of a worker that the fleet does not reach any more.

    The fleet moves the cameras of a worker when `lost_seconds` have passed since a report of it arrived. A heartbeat
    names the last report that has arrived, and permits to hold cameras until shortly before that time. This needs no
    common clock: a report arrives after it was sent. However late a heartbeat itself is, it extends nothing else.

    After its end a lease has another incarnation. A heartbeat for an earlier one, delayed on its way, is not accepted:
    its cameras may be elsewhere by now.

    Args:
        lost_seconds: as in the configuration.
        on_expired: gives up the cameras; called in a thread of the lease, never during a heartbeat.
    """

    def __init__(self, lost_seconds: float, on_expired: Callable[[], None]) -> None:
        self._seconds = LEASE_SHARE * lost_seconds
        self._on_expired = on_expired
        self._process = secrets.token_hex(8)
        self._count = 0
        self._number = 0
        self._sent: deque[tuple[int, float]] = deque(maxlen=MAX_REPORTS)
        """Number and monotonic time of the last reports of this incarnation."""
        self._end: float | None = None
        """Monotonic time at which the lease ends; None: there is none."""
        self._is_closing = False
        self._changed = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self._watch, name="streamseg lease", daemon=True)
        self._thread.start()

    @property
    def incarnation(self) -> str:
        """Name of this process and of its lease, separated by a dot."""
        return f"{self._process}.{self._count}"

    @contextlib.contextmanager
    def heartbeat(self, heard: Sequence[Any] | None) -> Iterator[bool]:
        """Renew the lease for a heartbeat; it does not end before the block does.

        Args:
            heard: incarnation and number of the last report that arrived; None: there was none.

        Yields:
            Whether the heartbeat is for this incarnation, so that its cameras may be opened.
        """
        with self._changed:
            incarnation, number = (None, 0) if heard is None else heard
            times = dict(self._sent)
            is_accepted = incarnation == self.incarnation and number in times
            if is_accepted:
                self._end = times[number] + self._seconds
                self._changed.notify_all()
            yield is_accepted

    def next_number(self) -> int:
        """Return the number of a report that is about to be sent."""
        with self._changed:
            self._number += 1
            self._sent.append((self._number, time.monotonic()))
            return self._number

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closing:
                rest = None if self._end is None else self._end - time.monotonic()
                if rest is None or rest > 0:
                    self._changed.wait(rest)
                    continue
                self._end = None
                self._count += 1
                self._sent.clear()
                self._on_expired()
