"""A pool of processes, each with one object that treats one item at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from streamseg.errors import StreamsegError
from streamseg.fleet.process import ProcessError, WorkerProcess

__all__ = ["process_all"]

MAX_TRIES: Final = 2
"""A file that ends its process is tried once more: the system may have killed the process for its memory."""

Result = dict[str, Any]


def process_all(
    names: Iterable[str], num_workers: int, start: Callable[[], WorkerProcess]
) -> Iterator[tuple[str, Result]]:
    """Treat all items in several processes, and yield each with its result as soon as it is done.

    A process that ends is replaced. An item that ends its process twice has the result `{"error": …}`.

    Args:
        names: the items.
        num_workers: number of processes.
        start: starts a process whose object has the methods `ready()` and `process(name)`.

    Raises:
        StreamsegError: a worker cannot be created.
    """
    pool = _Pool(names, start)
    threads = [
        threading.Thread(target=pool.work, name=f"streamseg batch {number}", daemon=True)
        for number in range(num_workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from pool.results(threads)
    finally:
        pool.stop()
        for thread in threads:
            thread.join()


class _Pool:
    """Items and results, shared by the threads of the processes."""

    def __init__(self, names: Iterable[str], start: Callable[[], WorkerProcess]) -> None:
        self._start = start
        self._pending = deque(names)
        self._results: deque[tuple[str, Result]] = deque()
        self._failures: dict[str, int] = {}
        """Number of processes that each item has ended."""
        self._failure: StreamsegError | None = None
        self._is_stopped = False
        self._changed = threading.Condition()
        self._processes: set[WorkerProcess] = set()

    def results(self, threads: list[threading.Thread]) -> Iterator[tuple[str, Result]]:
        """Yield results until all threads have ended."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._results or self._failure or not any(thread.is_alive() for thread in threads), 0.5
                )
                if self._failure is not None:
                    raise self._failure
                ready = list(self._results)
                self._results.clear()
                has_ended = not ready and not any(thread.is_alive() for thread in threads)
            yield from ready
            if has_ended:
                return

    def stop(self) -> None:
        """Let the threads end, and with them what their processes are doing."""
        with self._changed:
            self._is_stopped = True
            processes = tuple(self._processes)
        for process in processes:
            process.kill()

    def work(self) -> None:
        """Treat items until none is left; the work of one thread."""
        process: WorkerProcess | None = None
        try:
            while (name := self._next()) is not None:
                try:
                    if process is None:
                        process = self._open()
                    result = process.call("process", name)
                except ProcessError as error:
                    if process is None:
                        raise
                    self._close(process)
                    process = None
                    if self._may_try_again(name):
                        continue
                    result = {"error": str(error)}
                self._put(name, result)
        except StreamsegError as error:
            with self._changed:
                self._failure = self._failure or error
                self._is_stopped = True
                self._changed.notify_all()
        finally:
            if process is not None:
                self._close(process)

    def _open(self) -> WorkerProcess:
        process = self._start()
        with self._changed:
            self._processes.add(process)
        try:
            process.call("ready")
        except StreamsegError:
            self._close(process)
            raise
        return process

    def _close(self, process: WorkerProcess) -> None:
        process.close()
        with self._changed:
            self._processes.discard(process)

    def _next(self) -> str | None:
        with self._changed:
            return None if self._is_stopped or not self._pending else self._pending.popleft()

    def _may_try_again(self, name: str) -> bool:
        """Count a failure of an item, and put it back if it may be tried once more."""
        with self._changed:
            self._failures[name] = self._failures.get(name, 0) + 1
            is_allowed = self._failures[name] < MAX_TRIES
            if is_allowed:
                self._pending.appendleft(name)
            return is_allowed

    def _put(self, name: str, result: Result) -> None:
        with self._changed:
            self._results.append((name, result))
            self._changed.notify_all()
