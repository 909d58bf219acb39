"""What a run has done so far: frames, drops, prompts, and how each source stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamseg.capture import Source
from streamseg.errors import SourceError
from streamseg.pipeline import FrameResult
from streamseg.runtime.figures import SOURCE_AGE_WINDOW, Meter, RunStats, SourceState, SourceStats
from streamseg.runtime.mailbox import FrameQueue
from streamseg.runtime.workers import CountsDrops, Sink
from streamseg.structures.message import PromptStatus
from streamseg.telemetry import Drops, StageTimer, merge_drops

__all__ = ["Ledger"]


class Ledger:
    """Keeps what the figures of a run are made from; knows no thread and no clock.

    One thread notes what was finished, each source's thread how it ends; any thread reads.

    Args:
        sources: by id; they count what they drop.
        intake: counts what it drops.
        sinks: those that drop frames of their own accord count them.
        timer: has the times of the stages.
    """

    def __init__(
        self, sources: Mapping[str, Source], intake: FrameQueue, sinks: Sequence[Sink], timer: StageTimer
    ) -> None:
        self._sources = sources
        self._any_live = any(source.is_live for source in sources.values())
        self._intake = intake
        self._counting = tuple(sink for sink in sinks if isinstance(sink, CountsDrops))
        self._timer = timer
        self._meter = Meter()
        self._meters = {source_id: Meter(age_window=SOURCE_AGE_WINDOW) for source_id in sources}
        self._prompt_statuses: dict[str, tuple[PromptStatus, ...]] = {}
        self._errors: dict[str, SourceError] = {}
        self._ended: set[str] = set()

    def finished(self, result: FrameResult, now_ns: int) -> None:
        """Note a finished frame at a monotonic time."""
        source_id = result.frame.source_id
        self._prompt_statuses[source_id] = result.message.prompts
        is_live = self._sources[source_id].is_live
        self._meter.add(result.message, now_ns, with_age=is_live or not self._any_live)
        self._meters[source_id].add(result.message, now_ns)

    def failed(self, source_id: str, error: SourceError) -> None:
        """Note why a source ends."""
        self._errors[source_id] = error

    def ended(self, source_id: str) -> None:
        """Note that a source has ended, whatever ended it."""
        self._ended.add(source_id)

    @property
    def errors(self) -> tuple[SourceError, ...]:
        """Why sources failed, the first one first."""
        return tuple(self._errors.values())

    @property
    def prompt_statuses(self) -> dict[str, tuple[PromptStatus, ...]]:
        """How the prompts stood in the latest frame of each source that gave one."""
        return dict(self._prompt_statuses)

    def drops_of(self, source_id: str) -> Drops:
        """What was dropped before the sinks; a sink that drops tells its own."""
        return merge_drops((self._sources[source_id].drops.snapshot(), self._intake.drops(source_id)))

    def figures(self, now_ns: int, *, seconds: float) -> RunStats:
        """How the run is doing at a monotonic time, so many seconds after its start."""
        sources = tuple(self._source_figures(source_id, now_ns) for source_id in self._sources)
        stages = tuple(self._timer.stages.items())
        return RunStats(
            seconds=seconds,
            num_frames=self._meter.num_frames,
            fps=self._meter.fps,
            recent_fps=self._meter.rate.at(now_ns),
            ages=self._meter.ages,
            num_objects=sum(source.num_objects for source in sources),
            drops=merge_drops(source.drops for source in sources),
            stages_ms={name: (p50, p95) for name, times in stages for p50, p95 in [times.at(50, 95)]},
            is_paused=self._intake.is_paused,
            sources=sources,
        )

    def _source_figures(self, source_id: str, now_ns: int) -> SourceStats:
        meter = self._meters[source_id]
        error = self._errors.get(source_id)
        state: SourceState = "running" if meter.num_frames else "starting"
        if source_id in self._ended:
            state = "failed" if error is not None else "ended"
        return SourceStats(
            source_id=source_id,
            state=state,
            error=str(error) if error is not None else None,
            num_frames=meter.num_frames,
            silent_seconds=meter.silent_seconds(now_ns),
            fps=meter.rate.at(now_ns),
            ages=meter.ages,
            clock=meter.clock,
            num_objects=meter.num_objects,
            drops=merge_drops([self.drops_of(source_id), *(sink.drops(source_id) for sink in self._counting)]),
        )
