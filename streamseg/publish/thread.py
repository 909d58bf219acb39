"""A thread that owns sockets: it can be woken up, and its errors are not lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from streamseg.errors import PublishError

__all__ = ["SocketThread", "WakeUp"]


class WakeUp:
    """Interrupts a poll from another thread; ZeroMQ's own sockets must not be shared between threads."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """What to poll for input."""
        return self._reader.fileno()

    def set(self) -> None:
        """Let the poll return; may be called from any thread."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups that nobody has seen yet
            self._writer.send(b"\x00")

    def clear(self) -> None:
        """Forget all wake-ups so far."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Let go of both ends."""
        self._reader.close()
        self._writer.close()


class SocketThread(threading.Thread):
    """A daemon thread whose error is raised in whoever calls `check`.

    Args:
        name: of the thread.
        work: what it does; it closes its sockets itself.
        stopped: called at its end, also after an error, so that nobody waits for it any longer.
    """

    def __init__(self, name: str, work: Callable[[], None], stopped: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stopped = stopped
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Work until the end."""
        try:
            self._work()
        except BaseException as error:  # raised by `check`
            self._failure = error
        finally:
            self._stopped()

    def check(self) -> None:
        """Raise PublishError, with its cause, once the work has failed."""
        if self._failure is not None:
            raise PublishError(f"{self.name} has failed: {self._failure}") from self._failure
