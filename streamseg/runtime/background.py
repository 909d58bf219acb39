"""A background thread for work that frames need not wait for."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from streamseg.resources import Resource

__all__ = ["BackgroundThread"]

T = TypeVar("T")

STOP_SECONDS: Final = 0.5
"""Time for the current work to finish on `close`; work that takes longer is abandoned, as its result is not needed."""


class BackgroundThread(Resource):
    """Runs one piece of work after another, in order of submission.

    The thread is started lazily by the first submission. Unlike the threads of `ThreadPoolExecutor`, which the
    interpreter joins at exit, it is a daemon: embedding that takes minutes must not keep the program from exiting.

    Args:
        niceness: added to the nice value of the thread, and of the threads that its work starts: with 10, it gets about
            a tenth of the processor time of an ordinary thread that wants the same core. Linux only; elsewhere the
            thread is an ordinary one.
    """

    def __init__(self, *, niceness: int = 0) -> None:
        self._niceness = niceness
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Schedule work. Thread-safe. After `close` the caller does the work at once."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # raised by `result`
                future.set_exception(error)

        with self._changed:
            if not self._is_closed:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="background", daemon=True)
                    self._thread.start()
                self._waiting.append(run)
                self._changed.notify()
                return future
        run()
        return future

    def close(self) -> None:
        """Finish the current work and discard the waiting work. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        if self._niceness and sys.platform == "linux":
            # Linux has nice values by thread; a value above the highest one is cut to it.
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + self._niceness)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                run = self._waiting.popleft()
            run()
