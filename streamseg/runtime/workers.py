"""The work of each thread, and the slot that hands work to the next one.

A worker receives everything it needs as arguments and knows no other worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from streamseg.capture import Source
from streamseg.capture.health import SourceHealth
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.frame_queue import Feed, FrameQueue
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances
from streamseg.structures.source_status import SourceStatus
from streamseg.telemetry import Drops

__all__ = [
    "CountsDrops",
    "FollowsSources",
    "ReportsSources",
    "SegmentedBatch",
    "Sink",
    "SinkFactory",
    "SlotQueue",
    "Worker",
    "capture",
    "finish",
    "segment",
]

T = TypeVar("T")


class Sink(Protocol):
    """A destination of results, such as a publisher or a file. Used by one thread of its own (`sink_runner`).

    A sink with an attribute `policy` (`sink_slot.SinkPolicy`) chooses its name and which results it may miss.
    """

    def write(self, result: FrameResult) -> None:
        """Write the result of one frame; the frames of a source arrive in order.

        After a StreamsegError or OSError the next write is a new attempt, after a pause: discard what was half
        written. Any other exception ends the sink. The run continues in both cases.
        """
        ...

    def close(self) -> None:
        """Flush and release all resources; called once, also after an error."""
        ...


@runtime_checkable
class SinkFactory(Protocol):
    """A kind of sink of which each source gets one of its own, so that they fail independently."""

    def open_sink(self, source_id: str) -> Sink:
        """Return a new sink for the results of one source. Opens no file yet, and does not raise."""
        ...

    def close(self) -> None:
        """Release all resources; called once, after the sinks were closed."""
        ...


@runtime_checkable
class CountsDrops(Protocol):
    """A sink that may drop frames itself, and counts them."""

    def drops(self, source_id: str) -> Drops:
        """Return the drops of one source so far. Thread-safe."""
        ...


@runtime_checkable
class ReportsSources(Protocol):
    """A sink that reports the states of the sources."""

    def report_sources(self, statuses: Callable[[], Mapping[str, SourceStatus]]) -> None:
        """Take the function that returns the states by source id; it is called by threads of the sink."""
        ...


@runtime_checkable
class FollowsSources(Protocol):
    """A sink that must know its sources in advance. Both methods are thread-safe and idempotent."""

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        """Prepare for the results of a source."""
        ...

    def remove_source(self, source_id: str) -> None:
        """Forget a source after its last result, which may still wait for a sink that is busy."""
        ...


@dataclass(frozen=True, eq=False)
class SegmentedBatch:
    """A batch between the network and the tracker."""

    frames: tuple[Frame, ...]
    instances: tuple[Callable[[], Instances], ...]
    """Functions that return the instances of each frame; what the segmenter has left to do, they do."""
    ended: tuple[str, ...]
    """Ids of sources that deliver no frame after this batch."""
    taken_ns: int
    """Monotonic time at which the frames were taken from their mailboxes."""


class SlotQueue(Generic[T]):
    """A queue with a single slot between one producer and one consumer.

    The producer waits for room *before* it chooses its next work, so that the work is fresh
    if the consumer is the slower of the two. Either side may close the queue, which ends every wait.
    """

    def __init__(self) -> None:
        self._work: T | None = None
        self._is_closed = False
        self._changed = threading.Condition()

    def wait_for_room(self) -> bool:
        """Wait until `put` will not block; return False if the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._work is None)
            return not self._is_closed

    def put(self, work: T) -> bool:
        """Put work into the slot, waiting for room; return False, without queueing it, if the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._work is None)
            if self._is_closed:
                return False
            self._work = work
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """Wait for work and remove it; return None if the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._work is not None)
            work, self._work = self._work, None
            self._changed.notify_all()
            return work

    def close(self) -> None:
        """Accept no more work; work in the slot can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Worker(threading.Thread):
    """A thread whose exceptions are reported.

    Args:
        name: name of the thread.
        work: the work of the thread.
        closing: called afterwards in order, each regardless of earlier exceptions.
        report: receives every exception of `work` and `closing`.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        closing: Sequence[Callable[[], None]],
        report: Callable[[BaseException], None],
    ) -> None:
        # A daemon, because a thread that is stuck in a driver must not keep the program from exiting.
        super().__init__(name=name, daemon=True)
        self._steps = (work, *closing)
        self._report = report

    def run(self) -> None:
        """Do the work, then close."""
        for step in self._steps:
            try:
                step()
            except BaseException as error:  # passed to the caller of the run, where it is raised
                self._report(error)


def capture(source: Source, feed: Feed, health: SourceHealth) -> None:
    """Put the frames of one source into the queue until the source ends, is removed or the queue is closed."""
    frames = source.frames()
    for frame in frames:
        health.received(frame.image if frame.nv12 is None else frame.nv12, time.monotonic_ns())
        if not feed.put(frame):
            source.stop()


def segment(queue: FrameQueue, pipeline: Pipeline, segmented: SlotQueue[SegmentedBatch]) -> None:
    """Prepare the network, and run batches from the queue through it."""
    pipeline.prepare()
    # Waiting for room downstream comes first: the newest frame is then chosen as late as possible.
    while segmented.wait_for_room() and (batch := queue.take()) is not None:
        now_ns = time.monotonic_ns()
        for frame in batch.frames:
            with pipeline.timer.of(frame.source_id):
                pipeline.timer.add("mailbox", (now_ns - frame.received_ns) / 1e6)
        with pipeline.timer.of(*(frame.source_id for frame in batch.frames)):
            instances = pipeline.begin(batch.frames)
        if not segmented.put(SegmentedBatch(batch.frames, tuple(instances), batch.ended, now_ns)):
            queue.discard(batch.frames)


def finish(
    segmented: SlotQueue[SegmentedBatch],
    pipeline: Pipeline,
    write: Callable[[FrameResult], None],
    *,
    is_late: Callable[[Frame, int], bool],
    drops_of: Callable[[str], Drops],
    on_result: Callable[[FrameResult], None],
    on_end: Callable[[str], None],
) -> None:
    """Do what the network's thread has left, track, select, and hand each result to the sinks.

    Args:
        segmented: batches from the network.
        pipeline: its `finish` is called here.
        write: hands a result to all sinks.
        is_late: decides whether a frame, taken at a monotonic time, is too old to be written; its tracks and prompts
            have been updated, and nothing else follows.
        drops_of: returns the drops so far, by source id.
        on_result: called with every result, after `write`.
        on_end: called with the id of each source that has ended, after its last result.
    """
    while (batch := segmented.take()) is not None:
        for frame, instances in zip(batch.frames, batch.instances, strict=True):
            with pipeline.timer.of(frame.source_id):
                result = pipeline.finish(frame, instances(), drops=drops_of(frame.source_id))
                if is_late(frame, batch.taken_ns):
                    continue
                with pipeline.timer.stage("sinks"):
                    write(result)
            on_result(result)
        for source_id in batch.ended:
            on_end(source_id)
