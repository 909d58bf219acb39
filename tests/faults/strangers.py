"""Hostile clients of the control channel."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from streamseg.capture import open_source
from streamseg.config import SceneSource, TrackingConfig
from streamseg.pipeline import Pipeline
from streamseg.publish import ControlClient, ControlServer
from streamseg.publish.control import MAX_REQUEST_BYTES
from streamseg.runtime import Runtime
from streamseg.runtime.operations import control_operations
from streamseg.runtime.source_manager import SourceManager
from streamseg.runtime.source_operations import source_operations
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Instances
from tests.faults.rows import Outcome, Scenario
from tests.support.control_requests import mutated_request

__all__ = ["SCENARIOS", "fuzzed_requests"]

LIMIT_SECONDS = 60.0
WINDOW = 32
"""Requests that wait for their replies; a client's queue holds 64."""
SCENE = SceneSource(id="scene", width=64, height=64, fps=5.0, num_objects=1)


def _no_objects(images: list[ImageArray], regions: object = None) -> list[Instances]:
    return [Instances.empty((image.shape[0], image.shape[1])) for image in images]


@contextmanager
def controlled_run() -> Iterator[ControlServer]:
    """Run the scene with all operations of the control channel."""
    pipeline = Pipeline(_no_objects, tracking=TrackingConfig(enabled=False), prompts=())
    runtime = Runtime([open_source(SCENE)], pipeline, [])
    operations = {**control_operations(runtime), **source_operations(SourceManager(runtime, [SCENE], open_source))}
    run = threading.Thread(target=runtime.run)
    run.start()
    try:
        with ControlServer("tcp://127.0.0.1:0", operations) as server:
            yield server
    finally:
        runtime.stop()
        run.join(LIMIT_SECONDS)


def fuzzed_requests(num_requests: int, seed: int) -> float:
    """Send mutated requests, and return the longest time in s that another client waited for its reply.

    Every request must be answered, with a result or one line of error that reveals nothing of the program's inside, and
    the run must go on.
    """
    generator = random.Random(seed)
    waits: list[float] = []
    ended = threading.Event()
    with controlled_run() as server:

        def ask() -> None:
            with ControlClient(server.endpoint, timeout_seconds=LIMIT_SECONDS) as other:
                while not ended.wait(0.02):
                    started = time.monotonic()
                    other.call("status")
                    waits.append(time.monotonic() - started)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            _fuzz(server.endpoint, num_requests, generator)
        finally:
            ended.set()
            asking.join(LIMIT_SECONDS)
        server.check()
        with ControlClient(server.endpoint) as control:
            control.call("resume")
            assert [one["id"] for one in control.call("sources.list")["sources"]]
    return max(waits)


def _fuzz(endpoint: str, num_requests: int, generator: random.Random) -> None:
    num_waiting = 0
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        for _ in range(num_requests):
            body = mutated_request(generator)[:MAX_REQUEST_BYTES]
            socket.send(body)
            num_waiting += 1
            while num_waiting >= WINDOW or socket.poll(0):
                num_waiting -= _read(socket)
        while num_waiting:
            num_waiting -= _read(socket)


def _read(socket: zmq.Socket[bytes]) -> int:
    """Check one reply; return 1."""
    assert socket.poll(int(LIMIT_SECONDS * 1000)), "a request was not answered"
    reply = json.loads(socket.recv())
    assert reply["ok"] is True or (reply["ok"] is False and "\n" not in reply["error"]), reply
    for word in ("Traceback", "site-packages", "streamseg/"):
        assert word not in reply.get("error", ""), reply
    if reply["ok"] is True and isinstance(reply["result"], dict) and str(reply["result"].get("id", "")).startswith("f"):
        # A source was added: remove it, because 256 of them are a load, not a fault.
        socket.send(json.dumps({"id": 0, "op": "sources.remove", "args": {"id": reply["result"]["id"]}}).encode())
        return 0
    return 1


def fuzzed_control_requests() -> Outcome:
    """Mutated requests of every operation, and noise; the time is the longest wait of another client."""
    return Outcome(fuzzed_requests(100_000, random.randrange(1 << 30)))


SCENARIOS = (
    Scenario(
        "100,000 fuzzed control requests",
        fuzzed_control_requests,
        1.0,
        promised="each is answered in one line, the run goes on, others wait ≤ 1 s",
        is_long=True,
    ),
)
