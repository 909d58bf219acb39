"""Run-time measurements: stage times, percentiles, dropped frames."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["DropCounter", "Drops", "Percentiles", "StageTimer", "merge_drops"]

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


class StageTimer:
    """Measures milliseconds per stage, as percentiles: `with timer.stage("network"): …`."""

    def __init__(self, *, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self.stages: dict[str, Percentiles] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block. A block that raises is not counted."""
        started_ns = self._clock()
        yield
        self.add(name, (self._clock() - started_ns) / 1e6)

    def add(self, name: str, milliseconds: float) -> None:
        """Add a duration measured elsewhere."""
        self.stages.setdefault(name, Percentiles()).add(milliseconds)
