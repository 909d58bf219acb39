"""Run-time measurements: stage times, percentiles, histograms, dropped frames."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = [
    "BOUNDS_MS",
    "DropCounter",
    "Drops",
    "Histogram",
    "Histograms",
    "Percentiles",
    "StageTimer",
    "merge_drops",
]

Drops = dict[str, dict[str, int]]
"""Number of dropped frames by stage and reason: {"capture": {"newer_frame": 3}}."""


class DropCounter:
    """Counts dropped frames by stage and reason. Each counter has one writer; `merge_drops` sums several."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, stage: str, reason: str, num_frames: int = 1) -> None:
        """Count frames that `stage` dropped for `reason`."""
        key = (stage, reason)
        self._counts[key] = self._counts.get(key, 0) + num_frames

    def snapshot(self) -> Drops:
        """Return a copy of the counts so far."""
        drops: Drops = {}
        for (stage, reason), num_frames in tuple(self._counts.items()):
            drops.setdefault(stage, {})[reason] = num_frames
        return drops


def merge_drops(parts: Iterable[Drops]) -> Drops:
    """Return the sum of several counts."""
    total: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for part in parts:
        for stage, reasons in part.items():
            for reason, num_frames in reasons.items():
                total[stage][reason] += num_frames
    return {stage: dict(reasons) for stage, reasons in total.items()}


class Percentiles:
    """Percentiles of the last `window` values."""

    def __init__(self, window: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=window)
        self.num_values = 0
        """Total number of values added."""

    def add(self, value: float) -> None:
        """Add one value."""
        self._values.append(value)
        self.num_values += 1

    @property
    def last(self) -> float:
        """Last value added; NaN if there is none."""
        return self._values[-1] if self._values else float("nan")

    def at(self, *percents: float) -> tuple[float, ...]:
        """Return the percentiles at 0..100; NaN for each if there is no value."""
        values = tuple(self._values)
        if not values:
            return tuple(float("nan") for _ in percents)
        return tuple(float(value) for value in np.percentile(values, percents))


BOUNDS_MS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1e3, 2e3, 5e3, 1e4)
"""Upper bounds of the buckets of a histogram, in ms, inclusive: a frame time at 100, 50, 30, 20, 15 … fps is between
two of them. One more bucket has no bound."""


@dataclass(frozen=True)
class Histogram:
    """A histogram of durations."""

    counts: tuple[int, ...]
    """Number of values per bucket of `BOUNDS_MS`, and of larger ones; not cumulative."""
    sum_ms: float
    """Sum of all values."""

    @property
    def num_values(self) -> int:
        """Number of values."""
        return sum(self.counts)


class Histograms:
    """Histograms of durations by name and source. Each one has one writer at a time; any thread reads."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums_ms: dict[tuple[str, str], float] = {}

    def add(self, name: str, source_id: str, milliseconds: float) -> None:
        """Add a duration; a negative one counts as 0, because clocks may be stepped."""
        key, milliseconds = (name, source_id), max(milliseconds, 0.0)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts.setdefault(key, [0] * (len(BOUNDS_MS) + 1))
        counts[bisect_left(BOUNDS_MS, milliseconds)] += 1
        self._sums_ms[key] = self._sums_ms.get(key, 0.0) + milliseconds

    def forget(self, source_id: str) -> None:
        """Remove the histograms of a source."""
        for key in [key for key in tuple(self._counts) if key[1] == source_id]:
            self._counts.pop(key, None)
            self._sums_ms.pop(key, None)

    def snapshot(self) -> Mapping[tuple[str, str], Histogram]:
        """Return the histograms so far by (name, source id)."""
        found = tuple(self._counts.items())
        return {key: Histogram(tuple(counts), self._sums_ms.get(key, 0.0)) for key, counts in found}


_MEASURED: ContextVar[tuple[str, ...]] = ContextVar("measured", default=())
"""Sources of the frames that this thread works on."""


class StageTimer:
    """Measures milliseconds per stage, as percentiles: `with timer.stage("network"): …`.

    Durations within `of` also count for its sources, as histograms.
    """

    def __init__(self, *, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self.stages: dict[str, Percentiles] = {}
        self.by_source = Histograms()
        """Durations by stage and source. A batch counts once for each of its frames, which all wait for it."""

    @contextmanager
    def of(self, *source_ids: str) -> Iterator[None]:
        """Attribute the durations that this thread measures within the block to the sources of its frames."""
        token = _MEASURED.set(source_ids)
        try:
            yield
        finally:
            _MEASURED.reset(token)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block. A block that raises is not counted."""
        started_ns = self._clock()
        yield
        self.add(name, (self._clock() - started_ns) / 1e6)

    def forget(self, name: str) -> None:
        """Remove a stage that has ended."""
        self.stages.pop(name, None)

    def add(self, name: str, milliseconds: float) -> None:
        """Add a duration measured elsewhere."""
        self.stages.setdefault(name, Percentiles()).add(milliseconds)
        for source_id in _MEASURED.get():
            self.by_source.add(name, source_id, milliseconds)
