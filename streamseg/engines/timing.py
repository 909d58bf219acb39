"""Comparison of candidates by their shortest runs, in turns, within a limited time. Pure: the caller has the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["fastest", "shortest_runs"]

MAX_ROUNDS = 8
"""Number of timed runs of each candidate, if there is time."""

BUDGET_SECONDS = 2.0
"""Time after which no further round begins."""

MARGIN = 1.1
"""A candidate must be faster by more than this factor than one that is preferred to it."""


def shortest_runs(
    candidates: Mapping[str, Callable[[], object]],
    *,
    timer: Callable[[], float],
    budget_seconds: float = BUDGET_SECONDS,
) -> dict[str, float]:
    """Time candidates in turns, after one run of each that does not count unless there is no time for another.

    The shortest run counts, because other work on the machine can only lengthen a run.

    Args:
        candidates: functions to time, by name.
        timer: returns seconds, which never decrease.
        budget_seconds: time after which no further round begins; the first round is always complete.

    Returns:
        Seconds of the shortest run, by name.
    """
    started = timer()
    warm_up = _round(candidates, timer)
    rounds: list[dict[str, float]] = []
    while len(rounds) < MAX_ROUNDS and timer() - started < budget_seconds:
        rounds.append(_round(candidates, timer))
    return {name: min(times[name] for times in rounds or [warm_up]) for name in candidates}


def fastest(seconds: Mapping[str, float]) -> str:
    """Return the preferred candidate: the first whose time is within `MARGIN` of the shortest.

    Args:
        seconds: time by name, in order of preference; at least one.
    """
    limit = min(seconds.values()) * MARGIN
    return next(name for name, duration in seconds.items() if duration <= limit)


def _round(candidates: Mapping[str, Callable[[], object]], timer: Callable[[], float]) -> dict[str, float]:
    durations = {}
    for name, run in candidates.items():
        started = timer()
        run()
        durations[name] = timer() - started
    return durations
