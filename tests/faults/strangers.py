"""Hostile clients of the control channel."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import zmq

from streamseg.capture import open_source
from streamseg.config import SceneSource, TrackingConfig
from streamseg.pipeline import Pipeline
from streamseg.publish import ControlClient, ControlServer
from streamseg.publish.control import MAX_REQUEST_BYTES, Op, handle_request
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
REMOVAL = "removal"
"""Id of the requests that remove what others have added."""
SCENE = SceneSource(id="scene", width=64, height=64, fps=5.0, num_objects=1)


def _no_objects(images: list[ImageArray], regions: object = None) -> list[Instances]:
    return [Instances.empty((image.shape[0], image.shape[1])) for image in images]


@contextmanager
def controlled_run() -> Iterator[tuple[ControlServer, Mapping[str, Op]]]:
    """Run the scene with all operations of the control channel; yield the channel and its operations."""
    pipeline = Pipeline(_no_objects, tracking=TrackingConfig(enabled=False), prompts=())
    runtime = Runtime([open_source(SCENE)], pipeline, [])
    operations = {**control_operations(runtime), **source_operations(SourceManager(runtime, [SCENE], open_source))}
    run = threading.Thread(target=runtime.run)
    run.start()
    try:
        with ControlServer("tcp://127.0.0.1:0", operations) as server:
            yield server, operations
    finally:
        runtime.stop()
        run.join(LIMIT_SECONDS)


def fuzzed_requests(num_requests: int, num_over_socket: int, seed: int) -> float:
    """Send mutated requests, and return the longest time in s that another client waited for its reply.

    Every request must be answered, with a result or one line of error that reveals nothing of the program's inside, and
    the run must go on.

    Args:
        num_requests: number of all requests.
        num_over_socket: number of those that are sent over the channel's socket. The others go to the same handler in
            this thread: on a busy machine, a socket waits for the scheduler most of the time.
        seed: of the mutations.
    """
    generator = random.Random(seed)
    waits: list[float] = []
    ended = threading.Event()
    with controlled_run() as (server, operations):

        def ask() -> None:
            with ControlClient(server.endpoint, timeout_seconds=LIMIT_SECONDS) as other:
                while not ended.wait(0.02):
                    started = time.monotonic()
                    other.call("status")
                    waits.append(time.monotonic() - started)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            _fuzz_handler(operations, num_requests - num_over_socket, generator)
            _fuzz_socket(server.endpoint, num_over_socket, generator)
        finally:
            ended.set()
            asking.join(LIMIT_SECONDS)
        server.check()
        with ControlClient(server.endpoint) as control:
            control.call("resume")
            assert [one["id"] for one in control.call("sources.list")["sources"]]
    return max(waits)


def _fuzz_handler(operations: Mapping[str, Op], num_requests: int, generator: random.Random) -> None:
    for _ in range(num_requests):
        following = _following(handle_request(operations, _request(generator)))
        if following is not None:
            _following(handle_request(operations, following))


def _fuzz_socket(endpoint: str, num_requests: int, generator: random.Random) -> None:
    num_waiting = 0
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)

        def read() -> int:
            assert socket.poll(int(LIMIT_SECONDS * 1000)), "a request was not answered"
            following = _following(socket.recv())
            if following is None:
                return 1
            socket.send(following)
            return 0

        for _ in range(num_requests):
            socket.send(_request(generator))
            num_waiting += 1
            while num_waiting >= WINDOW or socket.poll(0):
                num_waiting -= read()
        while num_waiting:
            num_waiting -= read()


def _request(generator: random.Random) -> bytes:
    return mutated_request(generator)[:MAX_REQUEST_BYTES]


def _following(reply: bytes) -> bytes | None:
    """Check a reply. If a source was added, return a request that removes it: hundreds of them are a load, no fault."""
    values = json.loads(reply)
    assert values["ok"] is True or (values["ok"] is False and "\n" not in values["error"]), values
    for word in ("Traceback", "site-packages", "streamseg/"):
        assert word not in values.get("error", ""), values
    is_removal = values["id"] == REMOVAL
    if is_removal or values["ok"] is False or not isinstance(values["result"], dict) or "id" not in values["result"]:
        return None
    return json.dumps({"id": REMOVAL, "op": "sources.remove", "args": {"id": values["result"]["id"]}}).encode()


def fuzzed_control_requests() -> Outcome:
    """Mutated requests of every operation, and noise, 20,000 over the socket; longest wait of another client."""
    return Outcome(fuzzed_requests(100_000, 20_000, random.randrange(1 << 30)))


SCENARIOS = (
    Scenario(
        "100,000 fuzzed control requests",
        fuzzed_control_requests,
        1.0,
        promised="each is answered in one line, the run goes on, others wait ≤ 1 s",
        is_long=True,
    ),
)
