"""Collect the statistics of a run while it is in progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from streamseg.capture.source import MendsTimes
from streamseg.pipeline import FrameResult
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.sources import SourceGroup, SourceRun
from streamseg.runtime.stats import Ages, RunStats, SourceStats
from streamseg.runtime.workers import CountsDrops
from streamseg.structures.frame import Clock
from streamseg.structures.message import Message, PromptStatus
from streamseg.structures.source_status import AWAY_STATES
from streamseg.telemetry import Drops, Percentiles, StageTimer, merge_drops

__all__ = ["FrameAccumulator", "Rate", "StatsCollector"]

AGE_WINDOW = 10_000
"""Number of ages behind a run's percentiles: more than five minutes at 30 frames per second."""
SOURCE_AGE_WINDOW = 1000
"""Number of ages behind one source's percentiles: half a minute, so that hundreds can be read every second."""
RATE_WINDOW_NS = 3_000_000_000
"""Window of a frame rate, in nanoseconds."""


class Rate:
    """Events per second over a recent window. The caller supplies the time."""

    def __init__(self, window_ns: int = RATE_WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._stamps_ns: deque[int] = deque()

    def add(self, now_ns: int) -> None:
        """Record one event."""
        self._stamps_ns.append(now_ns)
        while self._stamps_ns[0] < now_ns - self._window_ns:
            self._stamps_ns.popleft()

    def at(self, now_ns: int) -> float:
        """Return the number of intervals over their duration; 0 if fewer than two events are in the window.

        The rate falls while no event arrives.
        """
        stamps_ns = [stamp for stamp in tuple(self._stamps_ns) if stamp >= now_ns - self._window_ns]
        if len(stamps_ns) < 2:
            return 0.0
        num_intervals = len(stamps_ns) - 1
        interval_ns = (stamps_ns[-1] - stamps_ns[0]) / num_intervals
        # The current interval counts once it is longer than the average of the earlier ones.
        overdue_ns = max(now_ns - stamps_ns[-1] - interval_ns, 0.0)
        return num_intervals * 1e9 / max(stamps_ns[-1] - stamps_ns[0] + overdue_ns, 1.0)


class FrameAccumulator:
    """Accumulates the statistics of finished frames, of one source or of all. One thread adds, any thread reads."""

    def __init__(self, *, age_window: int = AGE_WINDOW) -> None:
        self.rate = Rate()
        self.num_frames = 0
        self.num_objects = 0
        self.clock: Clock | None = None
        self._ages = Percentiles(age_window)
        self._first_ns = 0
        self._last_ns = 0

    def add(self, message: Message, now_ns: int, *, with_age: bool = True) -> None:
        """Add a frame that was finished at a monotonic time; `with_age`: include its age in the percentiles."""
        if self.num_frames == 0:
            self._first_ns = now_ns
        self._last_ns = now_ns
        self.rate.add(now_ns)
        if with_age:
            self._ages.add(message.age_ms)
        self.clock = message.clock
        self.num_objects = len(message.objects)
        self.num_frames += 1

    def silent_seconds(self, now_ns: int) -> float | None:
        """Return the time since the last finished frame; None before the first."""
        return (now_ns - self._last_ns) / 1e9 if self.num_frames else None

    @property
    def fps(self) -> float:
        """Mean frame rate from the first finished frame to the last; 0 before the second."""
        return (self.num_frames - 1) * 1e9 / max(self._last_ns - self._first_ns, 1) if self.num_frames > 1 else 0.0

    @property
    def ages(self) -> Ages:
        """Age percentiles of the latest frames."""
        return Ages(*self._ages.at(50, 95, 99))


class StatsCollector:
    """Collects the statistics of a run: frames, drops, prompts, source states. Pure: the caller supplies the time.

    One thread records finished frames, each source's thread records its own end; any thread reads.

    Args:
        sources: each counts its own drops.
        frames: the frame queue, which counts its own drops.
        sinks: drops are included for those that count them.
        timer: durations of the stages.
    """

    def __init__(self, sources: SourceGroup, frames: FrameQueue, sinks: Sequence[object], timer: StageTimer) -> None:
        self._sources = sources
        self._frames = frames
        self._dropping_sinks = tuple(sink for sink in sinks if isinstance(sink, CountsDrops))
        self._timer = timer
        self._total = FrameAccumulator()
        self._by_source: dict[str, FrameAccumulator] = {}
        self._prompt_statuses: dict[str, tuple[PromptStatus, ...]] = {}

    def record_frame(self, result: FrameResult, now_ns: int) -> None:
        """Record a frame that was finished at a monotonic time."""
        source_id = result.frame.source_id
        self._prompt_statuses[source_id] = result.message.prompts
        run = self._sources.get(source_id)
        is_live = run is not None and run.source.is_live
        self._total.add(result.message, now_ns, with_age=is_live or not self._sources.any_live)
        self._frames_of(source_id).add(result.message, now_ns)
        self._timer.by_source.add("age", source_id, result.message.age_ms)

    def forget(self, source_id: str) -> None:
        """Forget a source that was removed; its frames remain in the totals."""
        self._by_source.pop(source_id, None)
        self._timer.by_source.forget(source_id)
        self._prompt_statuses.pop(source_id, None)

    @property
    def prompt_statuses(self) -> dict[str, tuple[PromptStatus, ...]]:
        """Prompt statuses in the latest frame of each source that has delivered one."""
        return dict(self._prompt_statuses)

    def drops_before_sinks(self, source_id: str) -> Drops:
        """Return the drops of the source and its mailbox, without those of the sinks."""
        run = self._sources.get(source_id)
        own = run.source.drops.snapshot() if run is not None else {}
        return merge_drops((own, self._frames.drops(source_id)))

    def snapshot(self, now_ns: int, *, seconds: float) -> RunStats:
        """Return the statistics at a monotonic time; `seconds`: time since the start of the run."""
        sources = tuple(self._source_stats(run, now_ns) for run in self._sources.runs)
        stages = tuple(self._timer.stages.items())
        return RunStats(
            seconds=seconds,
            num_frames=self._total.num_frames,
            fps=self._total.fps,
            recent_fps=self._total.rate.at(now_ns),
            ages=self._total.ages,
            num_objects=sum(source.num_objects for source in sources if source.state not in AWAY_STATES),
            drops=merge_drops(source.drops for source in sources),
            stages_ms={name: (p50, p95) for name, times in stages for p50, p95 in [times.at(50, 95)]},
            is_paused=self._frames.is_paused,
            sources=sources,
        )

    def _frames_of(self, source_id: str) -> FrameAccumulator:
        return self._by_source.setdefault(source_id, FrameAccumulator(age_window=SOURCE_AGE_WINDOW))

    def _source_stats(self, run: SourceRun, now_ns: int) -> SourceStats:
        source_id = run.source.source_id
        frames = self._frames_of(source_id)
        status = run.health.status(now_ns)
        sink_drops = [sink.drops(source_id) for sink in self._dropping_sinks]
        return SourceStats(
            source_id=source_id,
            state=status.state,
            error=status.error,
            num_frames=frames.num_frames,
            silent_seconds=frames.silent_seconds(now_ns),
            fps=frames.rate.at(now_ns),
            ages=frames.ages,
            clock=frames.clock,
            num_objects=frames.num_objects,
            drops=merge_drops([self.drops_before_sinks(source_id), *sink_drops]),
            state_seconds=status.seconds,
            num_connections=run.health.num_connections,
            discontinuities=dict(run.source.mended) if isinstance(run.source, MendsTimes) else {},
            degradation=self._frames.degradation(source_id),
        )
