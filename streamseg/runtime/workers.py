"""What each thread does. A worker gets all it needs as arguments and knows no other worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from streamseg.capture import Source
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.handover import SlotQueue
from streamseg.runtime.mailbox import FrameQueue
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances
from streamseg.telemetry import Drops

__all__ = ["CountsDrops", "Segmented", "Sink", "Worker", "capture", "finish", "segment"]


class Sink(Protocol):
    """Where results go: a publisher, a file. Used by one thread."""

    def write(self, result: FrameResult) -> None:
        """Take one frame's result; frames of a source come in order. What it raises ends the run."""
        ...

    def close(self) -> None:
        """Write what is left and let go of everything; called once, also after an error."""
        ...


@runtime_checkable
class CountsDrops(Protocol):
    """A sink that drops frames of its own accord, and counts them."""

    def drops(self, source_id: str) -> Drops:
        """Frames of one source that were dropped so far; from any thread."""
        ...


@dataclass(frozen=True, eq=False)
class Segmented:
    """A batch between the network and the tracker."""

    frames: tuple[Frame, ...]
    instances: tuple[Instances, ...]
    """One for each frame."""
    ended: tuple[str, ...]
    """Sources of which no frame will come after this batch."""


class Worker(threading.Thread):
    """A thread whose errors are not lost.

    Args:
        name: of the thread.
        work: what it does.
        closing: done afterwards, each of them whatever happened before.
        report: gets whatever `work` or `closing` raised.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        closing: Sequence[Callable[[], None]],
        report: Callable[[BaseException], None],
    ) -> None:
        # A daemon, because a thread that is stuck in a driver must not keep the program from ending.
        super().__init__(name=name, daemon=True)
        self._steps = (work, *closing)
        self._report = report

    def run(self) -> None:
        """Do the work, then everything that closes it."""
        for step in self._steps:
            try:
                step()
            except BaseException as error:  # carried to the caller of the run, who gets it raised
                self._report(error)


def capture(source: Source, intake: FrameQueue) -> None:
    """Hand in the frames of one source until it ends or nobody takes them any more."""
    frames = source.frames()
    for frame in frames:
        if not intake.put(frame):
            source.stop()


def segment(intake: FrameQueue, pipeline: Pipeline, handover: SlotQueue[Segmented]) -> None:
    """Take batches through the network."""
    # The place downstream is waited for first: the newest frame is then chosen as late as can be.
    while handover.wait_for_room() and (taken := intake.take()) is not None:
        now_ns = time.monotonic_ns()
        for frame in taken.frames:
            pipeline.timer.add("mailbox", (now_ns - frame.received_ns) / 1e6)
        instances = pipeline.segment(taken.frames)
        if not handover.put(Segmented(taken.frames, tuple(instances), taken.ended)):
            intake.discard(taken.frames)


def finish(
    handover: SlotQueue[Segmented],
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    *,
    drops_of: Callable[[str], Drops],
    finished: Callable[[FrameResult], None],
) -> None:
    """Track, select, and write to every sink.

    Args:
        handover: where the network's batches come from.
        pipeline: its `finish` is called here, and its `end_source`.
        sinks: each gets every result, in this order.
        drops_of: frames dropped so far, by source id.
        finished: told of every result after the sinks.
    """
    while (segmented := handover.take()) is not None:
        for frame, instances in zip(segmented.frames, segmented.instances, strict=True):
            result = pipeline.finish(frame, instances, drops=drops_of(frame.source_id))
            with pipeline.timer.stage("sinks"):
                for sink in sinks:
                    sink.write(result)
            finished(result)
        for source_id in segmented.ended:
            pipeline.end_source(source_id)
