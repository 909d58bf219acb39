"""ZeroMQ in tests: contexts that must terminate, and waits with a time limit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from tests.support.waiting import WAIT_SECONDS

__all__ = ["WAIT_SECONDS", "GatedObjects", "leak_checked_context", "received_within"]


@contextmanager
def leak_checked_context() -> Iterator[zmq.Context[Any]]:
    """Yield a context and check that it terminates, which requires that every socket is closed."""
    context = zmq.Context()
    yield context
    thread = threading.Thread(target=context.term, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive(), "a socket was left open"


def received_within(socket: zmq.Socket[bytes], seconds: float = WAIT_SECONDS) -> list[bytes]:
    """Return the next message of a socket."""
    assert socket.poll(int(seconds * 1000)), "no message arrived"
    return socket.recv_multipart()


class GatedObjects(tuple[Any, ...]):
    """Objects of a message that block their reader until the gate opens."""

    entered: threading.Event
    gate: threading.Event

    @classmethod
    def closed(cls) -> "GatedObjects":
        """Return an empty sequence with a closed gate."""
        objects = cls()
        objects.entered, objects.gate = threading.Event(), threading.Event()
        return objects

    def __iter__(self) -> Iterator[Any]:
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS), "the gate stayed closed"
        return super().__iter__()


class UnreadableObjects(tuple[Any, ...]):
    """Objects of a message that must not be read."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("the objects were read")
