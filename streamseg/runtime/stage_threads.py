"""The two threads between the sources and the sinks: one for the network, one for everything after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.workers import SegmentedBatch, SlotQueue, Worker, finish, segment
from streamseg.telemetry import Drops

__all__ = ["StageThreads"]


class StageThreads:
    """Runs frames from a queue through a pipeline, and hands the results on.

    Args:
        frames: frames of all sources.
        pipeline: its `segment` is called by one thread, its `finish` by the other.
        write: hands a result to all sinks.
        drops_of: returns the drops so far, by source id.
        on_result: called with every result, after `write`.
        on_end: called with the id of each source that has ended, after its last result.
        closing: steps after the last result of the run, each regardless of earlier exceptions.
        report: receives every exception of the threads.
    """

    def __init__(
        self,
        frames: FrameQueue,
        pipeline: Pipeline,
        write: Callable[[FrameResult], None],
        *,
        drops_of: Callable[[str], Drops],
        on_result: Callable[[FrameResult], None],
        on_end: Callable[[str], None],
        closing: Sequence[Callable[[], None]],
        report: Callable[[BaseException], None],
    ) -> None:
        self._frames = frames
        self._segmented: SlotQueue[SegmentedBatch] = SlotQueue()
        finishing = partial(
            finish,
            self._segmented,
            pipeline,
            write,
            is_late=frames.is_late,
            drops_of=drops_of,
            on_result=on_result,
            on_end=on_end,
        )
        segmenting = partial(segment, frames, pipeline, self._segmented)
        close = self._segmented.close
        self.workers = (
            Worker("finish", finishing, closing=[close, *closing], report=report),
            Worker("segment", segmenting, closing=[close], report=report),
        )
        """The thread that flushes comes first."""

    def start(self) -> None:
        """Start the threads."""
        for worker in self.workers:
            worker.start()

    def close(self) -> None:
        """Take no more frames; those that the network has finished are still written. Idempotent."""
        self._frames.close()
        self._segmented.close()
