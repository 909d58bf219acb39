"""Readers of a stream of messages, each run in a process of its own; they print the ages of what they read, as JSON.

Usage: python -m benchmarks.subscribers.readers NAME ENDPOINT SECONDS [NUMBER]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import zmq

from streamseg.publish import Subscriber

__all__ = ["READERS"]

PERIOD_SECONDS = 0.2
"""Duration of the work on each message: 5 messages per second."""


def _age_ms(header: bytes) -> float:
    stamp = json.loads(header)["stamp"]
    return (time.time_ns() - stamp["sec"] * 10**9 - stamp["nanosec"]) / 1e6


def _work() -> None:
    time.sleep(PERIOD_SECONDS)


def _keep_interpreter() -> None:
    """Work without releasing the interpreter's lock, as some extensions do: no other thread runs meanwhile."""
    sys.setswitchinterval(60.0)
    end = time.monotonic() + PERIOD_SECONDS
    while time.monotonic() < end:
        pass
    sys.setswitchinterval(0.005)


def _subscriber(endpoint: str, work: Callable[[], None]) -> Iterator[float]:
    with Subscriber(endpoint, images=True) as subscriber:
        for message in subscriber:
            yield (time.time_ns() - message.captured_ns) / 1e6
            work()


def _socket(endpoint: str, topic: bytes = b"pic/1/", **options: int) -> zmq.Socket[bytes]:
    socket = zmq.Context.instance().socket(zmq.SUB)
    for name, value in options.items():
        socket.setsockopt(getattr(zmq, name), value)
    socket.setsockopt(zmq.SUBSCRIBE, topic)
    socket.connect(endpoint)
    return socket


def _plain(endpoint: str) -> Iterator[float]:
    socket = _socket(endpoint)
    while True:
        yield _age_ms(socket.recv_multipart()[1])
        _work()


def _drained(endpoint: str) -> Iterator[float]:
    socket = _socket(endpoint)
    while True:
        parts = socket.recv_multipart()
        while socket.poll(0):
            parts = socket.recv_multipart()
        yield _age_ms(parts[1])
        _work()


def _conflated(endpoint: str) -> Iterator[float]:
    from streamseg.wire import unpack_single

    socket = _socket(endpoint, CONFLATE=1)
    while True:
        yield _age_ms(bytes(unpack_single(socket.recv())[1]))
        _work()


def _many(endpoint: str, number: int) -> Iterator[float]:
    """Read the masks with many sockets, each as fast as it can."""
    poller = zmq.Poller()
    for _ in range(number):
        poller.register(_socket(endpoint, b"seg/1/"), zmq.POLLIN)
    while True:
        for socket, _ in poller.poll():
            yield _age_ms(socket.recv_multipart()[1])


READERS: dict[str, Callable[[str, int], Iterator[float]]] = {
    "streamseg.Subscriber": lambda endpoint, _: _subscriber(endpoint, _work),
    "streamseg.Subscriber, caller keeps the interpreter": lambda endpoint, _: _subscriber(endpoint, _keep_interpreter),
    "SUB socket": lambda endpoint, _: _plain(endpoint),
    "SUB socket, drained before each message": lambda endpoint, _: _drained(endpoint),
    "SUB socket, CONFLATE, single_endpoint": lambda endpoint, _: _conflated(endpoint),
    "many": _many,
}
"""Readers by name: they yield the age in ms of each message, from its capture to when it is read."""


def main() -> None:
    name, endpoint, seconds, *rest = sys.argv[1:]
    ages: list[float] = []
    end: float | None = None
    for age in READERS[name](endpoint, int(rest[0]) if rest else 1):
        end = end or time.monotonic() + float(seconds)
        ages.append(round(age, 3))
        if time.monotonic() > end:
            break
    print(json.dumps(ages), flush=True)


if __name__ == "__main__":
    main()
