"""Work that frames need not wait for, in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from streamseg.resources import Resource

__all__ = ["Background", "Task"]

T = TypeVar("T")

STOP_SECONDS: Final = 0.5
"""Work that takes longer is left behind when the run ends: nobody asks for its result any more."""


class Task(Generic[T]):
    """One piece of work, and what became of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether `result` answers at once."""
        return self._done.is_set()

    def result(self) -> T:
        """What came out; waits for it, and raises what the work raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def run(self) -> None:
        """Do it; called once."""
        try:
            self._result.append(self._work())
        except BaseException as error:  # raised by `result`, to whom it concerns
            self._error = error
        finally:
            self._done.set()


class Background(Resource):
    """Does one piece of work after the other, in the order in which they came.

    The thread starts with the first piece of work; who never asks for any has none.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Task[object]] = deque()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def start(self, work: Callable[[], T]) -> Task[T]:
        """Have it done; from any thread. After `close` it is done at once, by the caller."""
        task = Task(work)
        with self._changed:
            if not self._is_closed:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="background", daemon=True)
                    self._thread.start()
                self._waiting.append(task)  # type: ignore[arg-type]  # nobody puts anything into it
                self._changed.notify()
                return task
        task.run()
        return task

    def close(self) -> None:
        """Finish what is at hand, and nothing that waits. May be repeated."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                task = self._waiting.popleft()
            task.run()
