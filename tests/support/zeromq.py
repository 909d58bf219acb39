"""ZeroMQ in tests: contexts that must end, and waiting with a bound."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

WAIT_SECONDS = 10.0
"""Bound of every wait for something that comes at once; a test that hits it fails."""


@contextmanager
def leak_checked_context() -> Iterator[zmq.Context[Any]]:
    """A context that ends at the end, as it only does once every socket is closed."""
    context = zmq.Context()
    yield context
    thread = threading.Thread(target=context.term, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive(), "a socket was left open"


def received_within(socket: zmq.Socket[bytes], seconds: float = WAIT_SECONDS) -> list[bytes]:
    """The next message of a socket."""
    assert socket.poll(int(seconds * 1000)), "nothing came"
    return socket.recv_multipart()


class GatedObjects(tuple[Any, ...]):
    """A message's objects that hold up whoever reads them until the gate opens."""

    entered: threading.Event
    gate: threading.Event

    @classmethod
    def closed(cls) -> "GatedObjects":
        """No objects, and a closed gate."""
        objects = cls()
        objects.entered, objects.gate = threading.Event(), threading.Event()
        return objects

    def __iter__(self) -> Iterator[Any]:
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS), "the gate stayed closed"
        return super().__iter__()


class UnreadableObjects(tuple[Any, ...]):
    """A message's objects that nobody may read."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("the objects were read")
