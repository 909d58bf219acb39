"""The run as a whole: start the threads, supervise them, and end them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType

from streamseg.capture import Source
from streamseg.config import BatchingConfig, DegradationConfig
from streamseg.errors import SourceError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.batching import Batcher
from streamseg.runtime.deadlines import NO_LIMITS, Deadlines, SourceLimits
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.sink_group import FILE_WAIT_SECONDS, MIXED_WAIT_SECONDS, SinkGroup
from streamseg.runtime.sources import SourceGroup
from streamseg.runtime.stats import RunStats
from streamseg.runtime.stats_collector import StatsCollector
from streamseg.runtime.workers import (
    FollowsSources,
    SegmentedBatch,
    Sink,
    SinkFactory,
    SlotQueue,
    Worker,
    finish,
    segment,
)
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.message import PromptStatus
from streamseg.structures.source_status import SourceStatus

__all__ = ["Runtime"]

logger = logging.getLogger(__name__)

STOP_SECONDS = 0.9
"""Time for threads to end after a stop or an error; threads still running then are abandoned."""

WATCH_SECONDS = 0.5
"""Time between two checks of the states of the sources, for the log."""


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
        limits: limits of sources, by source id; others have none.
        steps: steps of reduced quality for sources with a deadline, see `ladder.degradation_steps`.
        degradation: durations of the steps.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        pipeline: Pipeline,
        sinks: Sequence[Sink | SinkFactory] = (),
        *,
        batching: BatchingConfig | None = None,
        limits: Mapping[str, SourceLimits] | None = None,
        steps: Sequence[Degradation] = (NO_DEGRADATION,),
        degradation: DegradationConfig | None = None,
    ) -> None:
        self.pipeline = pipeline
        if len({source.source_id for source in sources}) < len(sources):
            raise ValueError(f"source ids must differ, got {[source.source_id for source in sources]}")
        self._sinks = SinkGroup(sinks, wait_seconds=self._sink_wait_seconds, timer=pipeline.timer)
        batching = batching if batching is not None else BatchingConfig()
        self._frames = FrameQueue(
            {source.source_id: source.is_live for source in sources},
            Batcher(batching, Deadlines(batching, steps=steps, degradation=degradation)),
            limits=limits,
        )
        self._sources = SourceGroup(sources, self._frames)
        self._followers = tuple(sink for sink in sinks if isinstance(sink, FollowsSources))
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
            SourceError: every source failed; this is the first failure. Or the duration is over, and none delivered
                an image.
            KeyboardInterrupt: after everything was stopped and flushed; `stats` is still available.
            BaseException: the first exception of the segmenter, the tracker or the publisher; at the end, the error
                of a sink that has not recovered from it.
        """
        if self._started_ns:
            raise RuntimeError("a Runtime runs once; create another one")
        self._started_ns = time.monotonic_ns()
        try:
            self._start()
            failure = self._wait(on_stats, interval_seconds, duration_seconds)
        finally:
            self._shut_down()
            if self._error is not None:
                raise self._error
        errors = self._sources.errors
        if errors and len(errors) == len(self._sources.ids):
            raise errors[0]
        if failure is not None:
            raise failure
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
        self._sources.stop()

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
        """Source ids in the order of their addition. Thread-safe."""
        return self._sources.ids

    def add_source(self, source: Source, limits: SourceLimits = NO_LIMITS) -> None:
        """Add a source while the run is in progress. Thread-safe.

        Raises:
            DataError: its id is in use, or the run has ended.
        """
        self.pipeline.name_frame(source.source_id, source.frame_id)
        for sink in self._followers:
            sink.add_source(source.source_id, is_live=source.is_live)
        self._sources.add(source, limits)

    def remove_source(self, source_id: str) -> None:
        """Remove a source; its waiting frames are dropped and counted, and its prompts become lost. Thread-safe.

        Raises:
            DataError: it is unknown or the only one, or the run has ended.
        """
        self._sources.remove(source_id)

    def replace_source(self, source: Source, limits: SourceLimits = NO_LIMITS) -> None:
        """Replace the source with the same id, also one that has ended or failed. Thread-safe.

        Raises:
            DataError: it is unknown, or the run has ended.
        """
        self.pipeline.name_frame(source.source_id, source.frame_id)
        self._sources.replace(source, limits)

    def source_statuses(self) -> dict[str, SourceStatus]:
        """Return the status of each source. Thread-safe."""
        return self._sources.statuses(self._ended_ns or time.monotonic_ns())

    @property
    def prompt_statuses(self) -> dict[str, tuple[PromptStatus, ...]]:
        """Prompt statuses in the latest frame of each source that has delivered one."""
        return self._collector.prompt_statuses

    def stats(self) -> RunStats:
        """Return the current statistics. Thread-safe."""
        now_ns = self._ended_ns or time.monotonic_ns()
        seconds = (now_ns - self._started_ns) / 1e9 if self._started_ns else 0.0
        return replace(
            self._collector.snapshot(now_ns, seconds=seconds),
            sinks=self._sinks.stats(),
            tiers=self.pipeline.tier_reports,
        )

    def _sink_wait_seconds(self, source_id: str) -> float:
        """Return how long a frame of a source may wait for a sink."""
        run = self._sources.get(source_id)
        if run is None or run.source.is_live:
            return 0.0
        return MIXED_WAIT_SECONDS if self._sources.any_live else FILE_WAIT_SECONDS

    def _start(self) -> None:
        self._sinks.start()
        finishing = partial(
            finish,
            self._segmented,
            self.pipeline,
            self._sinks.write,
            is_late=self._frames.is_late,
            drops_of=self._collector.drops_before_sinks,
            on_result=self._record_result,
            on_end=self._finish_source,
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
        ]
        for worker in self._workers:
            worker.start()
        self._sources.start()

    def _wait(
        self, on_stats: Callable[[RunStats], None] | None, interval_seconds: float, duration_seconds: float | None
    ) -> SourceError | None:
        """Wait until the run ends or is stopped; call `on_stats` at every interval.

        Returns:
            The error of a run whose duration is over without an image.
        """
        started = time.monotonic()
        stop_at = started + duration_seconds if duration_seconds is not None else float("inf")
        call_at = started + interval_seconds if on_stats is not None else float("inf")
        while True:
            with self._changed:
                now = time.monotonic()
                # Always bounded, also because not every platform can interrupt an endless wait.
                timeout = max(min(stop_at, call_at, now + WATCH_SECONDS) - now, 0.0)
                if self._changed.wait_for(lambda: self._is_flushed or self._stopped_at is not None, timeout):
                    return None
            self._sources.log_changes(time.monotonic_ns())
            now = time.monotonic()
            if now >= stop_at:
                if self._sources.any_delivered:
                    return None
                states = self._sources.describe(time.monotonic_ns())
                return SourceError(f"no image within {duration_seconds:g} s; {states}")
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
        for worker in (*self._workers, *self._sources.workers):
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

    def _finish_source(self, source_id: str) -> None:
        """End a source after its last frame; forget it if it was removed and not added again."""
        self.pipeline.end_source(source_id)
        if self._sources.get(source_id) is None:
            self.pipeline.forget_source(source_id)
            self._sinks.remove_source(source_id)
            self._collector.forget(source_id)
            for sink in self._followers:
                sink.remove_source(source_id)
