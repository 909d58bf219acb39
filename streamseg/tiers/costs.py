"""Predicts the time of a stage from measured times, so that a frame is never delayed by more than a budget."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["StageCosts"]

WEIGHT: Final = 0.3
"""Weight of the newest measurement in the mean; a slower one than expected counts at once, see `add`."""
WINDOW: Final = 64
"""Number of measurements whose minimum the expectation may relax to."""
RELAXATION: Final = 0.05
"""Share of the excess over that minimum that a skipped frame removes from the expectation."""


class StageCosts:
    """Expected milliseconds by stage: an exponentially weighted mean per unit of work.

    A measurement slower than expected replaces the expectation, so that an overload is felt by one frame only; faster
    ones pull it down slowly. Whenever a stage is skipped for its cost, the expectation relaxes towards the fastest of
    the latest measurements: after an overload the stage is tried again. Not thread-safe.
    """

    def __init__(self) -> None:
        self._expected: dict[str, float] = {}
        self._latest: dict[str, deque[float]] = {}

    def add(self, stage: str, milliseconds: float, units: int = 1) -> None:
        """Add a measurement of `units` equal pieces of work, 1 or more."""
        measured = max(milliseconds, 0.0) / units
        self._latest.setdefault(stage, deque(maxlen=WINDOW)).append(measured)
        expected = self._expected.get(stage, measured)
        self._expected[stage] = measured if measured > expected else expected + WEIGHT * (measured - expected)

    def expected(self, stage: str) -> float | None:
        """Return the expected milliseconds of one unit; None before the first measurement."""
        return self._expected.get(stage)

    def skipped(self, *stages: str) -> None:
        """Note that some stages were skipped for their cost."""
        for stage in stages:
            expected = self._expected.get(stage)
            if expected is not None:
                self._expected[stage] = expected - RELAXATION * (expected - min(self._latest[stage]))
