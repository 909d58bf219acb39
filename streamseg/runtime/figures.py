"""The figures of a run: rates, ages as percentiles, drops; and what collects them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streamseg.structures.frame import Clock
from streamseg.structures.message import Message
from streamseg.telemetry import Drops, Percentiles

__all__ = ["SOURCE_AGE_WINDOW", "Ages", "Meter", "Rate", "RunStats", "SourceState", "SourceStats", "describe_drops"]

SourceState = Literal["starting", "running", "ended", "failed"]

AGE_WINDOW = 10_000
"""Ages that a run's percentiles are taken over: more than five minutes at 30 frames a second."""
SOURCE_AGE_WINDOW = 1000
"""The same for one source: half a minute, so that hundreds of sources can be read every second."""
RATE_WINDOW_NS = 3_000_000_000
"""Rates are those of the last three seconds."""


@dataclass(frozen=True)
class Ages:
    """Percentiles of the age of a picture when its message was made, in ms; NaN before the first."""

    p50_ms: float = math.nan
    p95_ms: float = math.nan
    p99_ms: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.p50_ms):
            return "age -"
        return f"age p50 {self.p50_ms:.0f} p95 {self.p95_ms:.0f} p99 {self.p99_ms:.0f} ms"


@dataclass(frozen=True)
class SourceStats:
    """How one source is doing."""

    source_id: str
    state: SourceState
    error: str | None
    """Why it failed."""
    num_frames: int
    """Frames that were finished."""
    silent_seconds: float | None
    """Since the last of them; None before the first."""
    fps: float
    """Finished frames per second of late."""
    ages: Ages
    clock: Clock | None
    """Which clock the ages go by; None before the first frame."""
    num_objects: int
    """In the latest message."""
    drops: Drops


@dataclass(frozen=True)
class RunStats:
    """How a run is doing, or did."""

    seconds: float
    """Since the start."""
    num_frames: int
    fps: float
    """Finished frames per second over the whole run, all sources together."""
    recent_fps: float
    """The same over the last few seconds."""
    ages: Ages
    """Of live sources; of all where none is live, for a file's frames wait as long as they like."""
    num_objects: int
    """In the latest message of each source, added up."""
    drops: Drops
    stages_ms: dict[str, tuple[float, float]]
    """p50 and p95 of the time that each stage takes, by name."""
    is_paused: bool
    sources: tuple[SourceStats, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values; null for what is unknown."""
        values: dict[str, Any] = _plain(asdict(self))
        return values

    def __str__(self) -> str:
        return f"{self.num_frames} frames, {self.fps:.1f} fps, {self.ages}, {describe_drops(self.drops)}"


def describe_drops(drops: Drops) -> str:
    """In words: `drops 3 (mailbox newer_frame 3)`."""
    reasons = [
        f"{stage} {reason} {num_frames}" for stage, counts in drops.items() for reason, num_frames in counts.items()
    ]
    total = sum(sum(counts.values()) for counts in drops.values())
    return f"drops {total} ({', '.join(reasons)})" if reasons else "drops 0"


class Rate:
    """Events per second of late; time is an argument."""

    def __init__(self, window_ns: int = RATE_WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._stamps_ns: deque[int] = deque()

    def add(self, now_ns: int) -> None:
        """Note one event."""
        self._stamps_ns.append(now_ns)
        while self._stamps_ns[0] < now_ns - self._window_ns:
            self._stamps_ns.popleft()

    def at(self, now_ns: int) -> float:
        """Intervals over the time they took; falls while nothing comes, 0 where fewer than two events are left."""
        stamps_ns = [stamp for stamp in tuple(self._stamps_ns) if stamp >= now_ns - self._window_ns]
        if len(stamps_ns) < 2:
            return 0.0
        num_intervals = len(stamps_ns) - 1
        interval_ns = (stamps_ns[-1] - stamps_ns[0]) / num_intervals
        # The interval that is under way counts once it is longer than the ones before.
        overdue_ns = max(now_ns - stamps_ns[-1] - interval_ns, 0.0)
        return num_intervals * 1e9 / max(stamps_ns[-1] - stamps_ns[0] + overdue_ns, 1.0)


class Meter:
    """Collects what the figures are made from, for one source or for all. One thread adds, any thread reads."""

    def __init__(self, *, age_window: int = AGE_WINDOW) -> None:
        self.rate = Rate()
        self.num_frames = 0
        self.num_objects = 0
        self.clock: Clock | None = None
        self._ages = Percentiles(age_window)
        self._first_ns = 0
        self._last_ns = 0

    def add(self, message: Message, now_ns: int, *, with_age: bool = True) -> None:
        """Note a finished frame at a monotonic time; `with_age`: its age is one that matters."""
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
        """Time since the last finished frame; None before the first."""
        return (now_ns - self._last_ns) / 1e9 if self.num_frames else None

    @property
    def fps(self) -> float:
        """From the first finished frame to the last; 0 before the second."""
        return (self.num_frames - 1) * 1e9 / max(self._last_ns - self._first_ns, 1) if self.num_frames > 1 else 0.0

    @property
    def ages(self) -> Ages:
        """Of the last frames."""
        return Ages(*self._ages.at(50, 95, 99))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value
