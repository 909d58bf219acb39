"""The run as a whole: start the threads, supervise them, and end them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType

from streamseg.capture import Source
from streamseg.config import BatchingConfig
from streamseg.errors import SourceError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.batching import Batcher
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.sink_group import FILE_WAIT_SECONDS, MIXED_WAIT_SECONDS, SinkGroup
from streamseg.runtime.stats import RunStats, StatsCollector
from streamseg.runtime.workers import SegmentedBatch, Sink, SinkFactory, SlotQueue, Worker, capture, finish, segment
from streamseg.structures.message import PromptStatus

__all__ = ["Runtime"]

logger = logging.getLogger(__name__)

STOP_SECONDS = 0.9
"""Time for threads to end after a stop or an error; threads still running then are abandoned."""


class Runtime:
    """Moves frames from sources through a pipeline to sinks, once.

    One thread per source, one for the network, one for everything after it, one per sink. Live sources have a
    mailbox with a single place, in which the newest frame wins; files wait for room and lose nothing. A
    source or a sink that fails disturbs no other; any other error ends the run, and `run` raises the first one.

    Args:
        sources: must have different ids.
        pipeline: used by this run only.
        sinks: receive every result; closed when the run ends, or on leaving the context if it never started.
        batching: settings of the batching policy.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        pipeline: Pipeline,
        sinks: Sequence[Sink | SinkFactory] = (),
        *,
        batching: BatchingConfig | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._sources = {source.source_id: source for source in sources}
        if len(self._sources) < len(sources):
            raise ValueError(f"source ids must differ, got {[source.source_id for source in sources]}")
        self._sinks = SinkGroup(sinks, wait_seconds=self._sink_wait_seconds, timer=pipeline.timer)
        self._frames = FrameQueue(
            {source.source_id: source.is_live for source in sources},
            Batcher(batching if batching is not None else BatchingConfig()),
        )
        self._collector = StatsCollector(self._sources, self._frames, sinks, pipeline.timer)
        self._segmented: SlotQueue[SegmentedBatch] = SlotQueue()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._workers: list[Worker] = []
        self._is_flushed = False
        self._stopped_at: float | None = None
        self._started_ns = self._ended_ns = 0

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._started_ns:
            self._sinks.close_unstarted()

    def run(
        self,
        on_stats: Callable[[RunStats], None] | None = None,
        *,
        interval_seconds: float = 1.0,
        duration_seconds: float | None = None,
    ) -> RunStats:
        """Run until every source has ended, `stop` is called, or an error occurs.

        Args:
            on_stats: called in this thread at every interval.
            interval_seconds: time between two calls.
            duration_seconds: maximum duration; None: no limit.

        Returns:
            The statistics of the whole run.

        Raises:
            SourceError: every source failed; this is the first failure.
            KeyboardInterrupt: after everything was stopped and flushed; `stats` is still available.
            BaseException: the first exception of the segmenter, the tracker or the publisher; at the end, the error
                of a sink that has not recovered from it.
        """
        if self._started_ns:
            raise RuntimeError("a Runtime runs once; create another one")
        self._started_ns = time.monotonic_ns()
        try:
            self._start()
            self._wait(on_stats, interval_seconds, duration_seconds)
        finally:
            self._shut_down()
            if self._error is not None:
                raise self._error
        errors = self._collector.errors
        if len(errors) == len(self._sources):
            raise errors[0]
        self._sinks.check()
        return self.stats()

    def stop(self) -> None:
        """End the run; finished frames are flushed. Thread-safe and idempotent."""
        with self._changed:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()
            self._changed.notify_all()
        self._frames.close()
        self._segmented.close()
        self._sinks.stop()
        for source in self._sources.values():
            source.stop()

    def pause(self) -> None:
        """Publish nothing until `resume`; live frames are dropped and counted, files wait, track ids are kept."""
        self._frames.pause()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._frames.resume()

    def step(self) -> bool:
        """Let one frame of each source through while paused, without waiting for it; False if not paused."""
        return self._frames.step()

    @property
    def source_ids(self) -> tuple[str, ...]:
        """Source ids in the order of the sources."""
        return tuple(self._sources)

    @property
    def prompt_statuses(self) -> dict[str, tuple[PromptStatus, ...]]:
        """Prompt statuses in the latest frame of each source that has delivered one."""
        return self._collector.prompt_statuses

    def stats(self) -> RunStats:
        """Return the current statistics. Thread-safe."""
        now_ns = self._ended_ns or time.monotonic_ns()
        seconds = (now_ns - self._started_ns) / 1e9 if self._started_ns else 0.0
        return replace(self._collector.snapshot(now_ns, seconds=seconds), sinks=self._sinks.stats())

    def _sink_wait_seconds(self, source_id: str) -> float:
        """Return how long a frame of a source may wait for a sink."""
        if self._sources[source_id].is_live:
            return 0.0
        any_live = any(source.is_live for source in self._sources.values())
        return MIXED_WAIT_SECONDS if any_live else FILE_WAIT_SECONDS

    def _start(self) -> None:
        self._sinks.start()
        finishing = partial(
            finish,
            self._segmented,
            self.pipeline,
            self._sinks.write,
            drops_of=self._collector.drops_before_sinks,
            on_result=self._record_result,
        )
        closing = [self._segmented.close, *self._sinks.closing_steps(), self._mark_flushed]
        self._workers = [
            Worker("finish", finishing, closing=closing, report=self._fail),
            Worker(
                "segment",
                partial(segment, self._frames, self.pipeline, self._segmented),
                closing=[self._segmented.close],
                report=self._fail,
            ),
            *(
                Worker(
                    f"capture {source_id}",
                    partial(capture, source, self._frames),
                    closing=[partial(self._end_source, source_id)],
                    report=partial(self._fail_source, source_id),
                )
                for source_id, source in self._sources.items()
            ),
        ]
        for worker in self._workers:
            worker.start()

    def _wait(
        self, on_stats: Callable[[RunStats], None] | None, interval_seconds: float, duration_seconds: float | None
    ) -> None:
        """Wait until the run ends or is stopped; call `on_stats` at every interval."""
        started = time.monotonic()
        stop_at = started + duration_seconds if duration_seconds is not None else float("inf")
        call_at = started + interval_seconds if on_stats is not None else float("inf")
        while True:
            with self._changed:
                now = time.monotonic()
                # Always bounded, because not every platform can interrupt an endless wait.
                timeout = max(min(stop_at, call_at, now + 3600.0) - now, 0.0)
                if self._changed.wait_for(lambda: self._is_flushed or self._stopped_at is not None, timeout):
                    return
            now = time.monotonic()
            if now >= stop_at:
                return
            if on_stats is not None and now >= call_at:
                on_stats(self.stats())
                # A slow callback is not called twice in a row to catch up.
                call_at = max(call_at + interval_seconds, time.monotonic())

    def _shut_down(self) -> None:
        """End all threads, the flushing one first; those that do not end in time are abandoned."""
        self.stop()
        stopped_at = self._stopped_at if self._stopped_at is not None else time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._is_flushed, max(stopped_at + STOP_SECONDS - time.monotonic(), 0.0))
        for worker in self._workers:
            if worker.ident is None:
                continue  # the platform could not start another thread
            worker.join(max(stopped_at + STOP_SECONDS - time.monotonic(), 0.0))
            if worker.is_alive():
                logger.warning("thread %r did not end in time and was abandoned", worker.name)
        self._ended_ns = time.monotonic_ns()

    def _record_result(self, result: FrameResult) -> None:
        self._collector.record_frame(result, time.monotonic_ns())

    def _mark_flushed(self) -> None:
        with self._changed:
            self._is_flushed = True
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        """End the run with an error; the first one is kept, later ones are logged."""
        with self._changed:
            is_first = self._error is None
            if is_first:
                self._error = error
        if is_first:
            self.stop()
        else:
            logger.error("while stopping: %s: %s", type(error).__name__, error)

    def _fail_source(self, source_id: str, error: BaseException) -> None:
        """End one source with an error."""
        if isinstance(error, SourceError):
            failure = error
        else:
            failure = SourceError(f"source {source_id} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
        if len(self._sources) > 1:  # an only source's error is raised and need not be reported twice
            logger.error("%s", failure)
        with self._changed:
            # An error caused by stopping did not end the run.
            if self._stopped_at is None:
                self._collector.record_failure(source_id, failure)

    def _end_source(self, source_id: str) -> None:
        with self._changed:
            self._collector.record_end(source_id)
        self._frames.end_source(source_id)
