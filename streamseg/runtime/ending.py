"""The end of a run: by itself, by a stop or by the first error."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from streamseg.runtime.workers import Worker

__all__ = ["STOP_SECONDS", "Ending"]

logger = logging.getLogger(__name__)

STOP_SECONDS = 0.9
"""Time for threads to end after a stop or an error; threads still running then are abandoned."""


class Ending:
    """Whether a run is over, and why. Thread-safe.

    Args:
        close: makes every thread of the run end; called at each stop, so that it must be idempotent.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._is_flushed = False
        self._stopped_at: float | None = None

    @property
    def error(self) -> BaseException | None:
        """The first error; None if there is none."""
        return self._error

    def stop(self) -> None:
        """End the run. Idempotent."""
        with self._changed:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()
            self._changed.notify_all()
        self._close()

    def fail(self, error: BaseException) -> None:
        """End the run with an error; the first one is kept, later ones are logged."""
        with self._changed:
            is_first = self._error is None
            if is_first:
                self._error = error
        if is_first:
            self.stop()
        else:
            logger.error("while stopping: %s: %s", type(error).__name__, error)

    def flushed(self) -> None:
        """Note that the last result has been written."""
        with self._changed:
            self._is_flushed = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until the last result has been written or the run is stopped; False: neither has happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_flushed or self._stopped_at is not None, seconds)

    def join(self, workers: Iterable[Worker]) -> None:
        """Wait until the last result has been written, then for threads; call `stop` first.

        Threads that have not ended `STOP_SECONDS` after the stop are abandoned.
        """
        stopped_at = self._stopped_at if self._stopped_at is not None else time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._is_flushed, max(stopped_at + STOP_SECONDS - time.monotonic(), 0.0))
        for worker in workers:
            if worker.ident is None:
                continue  # the platform could not start another thread
            worker.join(max(stopped_at + STOP_SECONDS - time.monotonic(), 0.0))
            if worker.is_alive():
                logger.warning("thread %r did not end in time and was abandoned", worker.name)
