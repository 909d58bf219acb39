"""The run as a whole: its parts, and the loop that watches them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from streamseg.capture import Source
from streamseg.config import BatchingConfig, DegradationConfig
from streamseg.errors import SourceError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.batching import Batcher
from streamseg.runtime.deadlines import NO_LIMITS, Deadlines, SourceLimits
from streamseg.runtime.ending import Ending
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.sink_group import FILE_WAIT_SECONDS, MIXED_WAIT_SECONDS, SinkGroup
from streamseg.runtime.source_changes import SourceChanges
from streamseg.runtime.sources import SourceGroup
from streamseg.runtime.stage_threads import StageThreads
from streamseg.runtime.stats import RunStats
from streamseg.runtime.stats_collector import StatsCollector
from streamseg.runtime.workers import FollowsSources, Sink, SinkFactory
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.message import PromptStatus
from streamseg.structures.source_status import SourceStatus

__all__ = ["Runtime"]

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
        self._collector = StatsCollector(self._sources, self._frames, sinks, pipeline.timer)
        followers = [sink for sink in sinks if isinstance(sink, FollowsSources)]
        self._changes = SourceChanges(self._sources, pipeline, self._sinks, self._collector, followers)
        self._ending = Ending(self._close)
        self._stages = StageThreads(
            self._frames,
            pipeline,
            self._sinks.write,
            drops_of=self._collector.drops_before_sinks,
            on_result=self._record_result,
            on_end=self._changes.finish,
            closing=[*self._sinks.closing_steps(), self._ending.flushed],
            report=self._ending.fail,
        )
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
            self._sinks.start()
            self._stages.start()
            self._sources.start()
            failure = self._wait(on_stats, interval_seconds, duration_seconds)
        finally:
            # Stopped before the threads are listed, because no source can be added afterwards.
            self._ending.stop()
            self._ending.join((*self._stages.workers, *self._sources.workers))
            self._ended_ns = time.monotonic_ns()
            if self._ending.error is not None:
                raise self._ending.error
        errors = self._sources.errors
        if errors and len(errors) == len(self._sources.ids):
            raise errors[0]
        if failure is not None:
            raise failure
        self._sinks.check()
        return self.stats()

    def stop(self) -> None:
        """End the run; finished frames are flushed. Thread-safe and idempotent."""
        self._ending.stop()

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
        self._changes.add(source, limits)

    def remove_source(self, source_id: str) -> None:
        """Remove a source; its waiting frames are dropped and counted, and its prompts become lost. Thread-safe.

        Raises:
            DataError: it is unknown or the only one, or the run has ended.
        """
        self._changes.remove(source_id)

    def replace_source(self, source: Source, limits: SourceLimits = NO_LIMITS) -> None:
        """Replace the source with the same id, also one that has ended or failed. Thread-safe.

        Raises:
            DataError: it is unknown, or the run has ended.
        """
        self._changes.replace(source, limits)

    @property
    def finished_sources(self) -> frozenset[str]:
        """Sources that have ended or failed, and whose last frames are finished. Thread-safe."""
        return self._changes.finished

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

    def _close(self) -> None:
        """Make every thread end; finished frames are flushed."""
        self._stages.close()
        self._sinks.stop()
        self._sources.stop()

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
            now = time.monotonic()
            # Always bounded, also because not every platform can interrupt an endless wait.
            if self._ending.wait(max(min(stop_at, call_at, now + WATCH_SECONDS) - now, 0.0)):
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

    def _record_result(self, result: FrameResult) -> None:
        self._collector.record_frame(result, time.monotonic_ns())
