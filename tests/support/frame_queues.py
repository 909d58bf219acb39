"""Frame queues with a clock that a test sets, and calls that may wait."""

import threading
from collections.abc import Callable
from dataclasses import replace

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import Batcher
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.structures.frame import Frame
from tests.support.stages import fresh_frame
from tests.support.waiting import WAIT_SECONDS

LIVE, FILE = True, False


class Clock:
    """Monotonic time that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def make_queue(clock: Callable[[], int] | None = None, *, max_age_ms: float = 1000, **sources: bool) -> FrameQueue:
    batcher = Batcher(BatchingConfig(deadline_ms=0, max_age_ms=max_age_ms))
    return FrameQueue(sources, batcher, now_ns=clock if clock is not None else Clock())


def frame_at(source_id: str, index: int, received_ns: int = 0) -> Frame:
    return replace(fresh_frame(source_id, index), received_ns=received_ns)


def put(queue: FrameQueue, source_id: str, index: int) -> bool:
    return queue.put(frame_at(source_id, index))


def take_batch(queue: FrameQueue) -> list[tuple[str, int]]:
    """Take the next batch as (source id, frame index); must not be called if `take` would wait."""
    batch = queue.take()
    assert batch is not None
    return [(frame.source_id, frame.index) for frame in batch.frames]


class Call:
    """A call in a thread of its own, to see whether it waits."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.returned: object = None
        self._done = threading.Event()
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.returned = self._call()
        self._done.set()

    def is_waiting(self) -> bool:
        return not self._done.wait(0.05)

    def result(self) -> object:
        assert self._done.wait(WAIT_SECONDS), "still waiting"
        return self.returned
