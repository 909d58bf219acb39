"""A thread that owns sockets: it can be woken up, and it reports its errors."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from streamseg.errors import PublishError

__all__ = ["SocketThread", "WakeUp"]


class WakeUp:
    """Interrupts a poll from another thread, because ZeroMQ sockets must not be shared between threads."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor to poll for input."""
        return self._reader.fileno()

    def set(self) -> None:
        """Make the poll return. Thread-safe."""
        with contextlib.suppress(BlockingIOError):  # buffer full of pending wake-ups
            self._writer.send(b"\x00")

    def clear(self) -> None:
        """Discard all pending wake-ups."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()


class SocketThread(threading.Thread):
    """A daemon thread whose error is raised by `check` in the caller's thread.

    Args:
        name: name of the thread.
        work: body of the thread; closes its own sockets.
        stopped: called when the thread ends, also after an error, to release waiting threads.
    """

    def __init__(self, name: str, work: Callable[[], None], stopped: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stopped = stopped
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Run the work, keep its error and call `stopped`."""
        try:
            self._work()
        except BaseException as error:  # raised by `check`
            self._failure = error
        finally:
            self._stopped()

    def check(self) -> None:
        """Raise PublishError, with its cause, if the work has failed."""
        if self._failure is not None:
            raise PublishError(f"{self.name} has failed: {self._failure}") from self._failure
