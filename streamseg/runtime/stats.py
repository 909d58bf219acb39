"""Run statistics as records: frame rates, message ages as percentiles, drops, states."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from streamseg.errors import counted
from streamseg.runtime.sink_health import SinkStats
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.frame import Clock
from streamseg.structures.source_status import SourceState
from streamseg.telemetry import Drops
from streamseg.tiers import TierReport

__all__ = ["Ages", "RunStats", "SourceStats", "describe_drops"]


@dataclass(frozen=True)
class Ages:
    """Percentiles of the age of a frame when its message was made, in ms; NaN before the first frame."""

    p50_ms: float = math.nan
    p95_ms: float = math.nan
    p99_ms: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.p50_ms):
            return "age -"
        return f"age p50 {self.p50_ms:.0f} p95 {self.p95_ms:.0f} p99 {self.p99_ms:.0f} ms"


@dataclass(frozen=True)
class SourceStats:
    """Statistics of one source."""

    source_id: str
    state: SourceState
    error: str | None
    """Last error, also after a recovery; None if there was none."""
    num_frames: int
    """Number of finished frames."""
    silent_seconds: float | None
    """Time since the last finished frame; None before the first."""
    fps: float
    """Output frame rate over the last 3 s."""
    ages: Ages
    clock: Clock | None
    """Clock that the ages refer to; None before the first frame."""
    num_objects: int
    """Number of objects in the latest message."""
    drops: Drops
    state_seconds: float = 0.0
    """Time in this state."""
    num_connections: int = 0
    """Number of connections that delivered a frame; each one after the first is a recovery."""
    discontinuities: dict[str, int] = field(default_factory=dict)
    """Number of mended discontinuities of the source's time stamps, by kind."""
    degradation: Degradation = NO_DEGRADATION
    """Reduced quality of the next frame."""


@dataclass(frozen=True)
class RunStats:
    """Statistics of a run, in progress or finished."""

    seconds: float
    """Time since the start."""
    num_frames: int
    fps: float
    """Finished frames per second over the whole run, all sources together."""
    recent_fps: float
    """Finished frames per second over the last 3 s, all sources together."""
    ages: Ages
    """Live sources only (all sources if none is live): latency is meaningless for files."""
    num_objects: int
    """Number of objects in the latest message of each source that is not away, added up."""
    drops: Drops
    stages_ms: dict[str, tuple[float, float]]
    """Duration of each stage by name: p50 and p95, in ms."""
    is_paused: bool
    sources: tuple[SourceStats, ...]
    sinks: tuple[SinkStats, ...] = ()
    """The sinks with a thread of their own: all but the publisher."""
    tiers: tuple[TierReport, ...] = ()
    """What the tiers have done; empty without tiers."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; unknown values are null."""
        values: dict[str, Any] = _plain(asdict(self))
        return values

    def __str__(self) -> str:
        return f"{counted(self.num_frames, 'frame')}, {self.fps:.1f} fps, {self.ages}, {describe_drops(self.drops)}"


def describe_drops(drops: Drops) -> str:
    """Describe drops in words: `drops 3 (mailbox newer_frame 3)`."""
    reasons = [
        f"{stage} {reason} {num_frames}" for stage, counts in drops.items() for reason, num_frames in counts.items()
    ]
    total = sum(sum(counts.values()) for counts in drops.values())
    return f"drops {total} ({', '.join(reasons)})" if reasons else "drops 0"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value
