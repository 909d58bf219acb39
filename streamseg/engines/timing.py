"""Comparison of candidates by their shortest runs, in turns, within a limited time. Pure: the caller has the clocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamseg.engines.core_time import CoreTime, waiting_share

__all__ = ["BUSY_SHARE", "Comparison", "fastest", "shortest_runs"]

MAX_ROUNDS = 8
"""Number of timed runs of each candidate, if there is time."""

BUDGET_SECONDS = 2.0
"""Time after which no further round begins, once there are `MIN_ROUNDS`."""

MIN_ROUNDS = 2
"""Number of timed runs of each candidate, also on a slow machine: in the first one, OpenVINO compiles a model for this
size of images, which takes as long as many runs."""

LIMIT_SECONDS = 10.0
"""Time after which no further round begins in any case."""

MARGIN = 1.1
"""A candidate must be faster by more than this factor than one that is preferred to it."""

BUSY_SHARE = 0.1
"""Share of the time in which threads waited for cores, above which another comparison may end differently. On 2 cores,
one other busy thread causes 0.25 for two threads; on an idle machine, threads hardly ever wait."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Times of candidates."""

    seconds: Mapping[str, float]
    """Seconds of the shortest run, by name."""

    waiting: float
    """Share of the time in which threads waited for cores, 0..1, see `BUSY_SHARE`."""


def shortest_runs(
    candidates: Mapping[str, Callable[[], object]],
    *,
    timer: Callable[[], float],
    cores: Callable[[], CoreTime],
    num_threads: int,
) -> Comparison:
    """Time candidates in turns, after one run of each that does not count unless there is no time for another.

    The shortest run counts, because other work on the machine can only lengthen a run.

    Args:
        candidates: functions to time, by name.
        timer: returns seconds, which never decrease.
        cores: reads what the threads of this process did; it may take milliseconds.
        num_threads: number of threads that a candidate computes with.
    """
    before, started = cores(), timer()
    warm_up = _round(candidates, timer)
    warm = cores()
    rounds: list[dict[str, float]] = []
    while len(rounds) < MAX_ROUNDS:
        limit = LIMIT_SECONDS if len(rounds) < MIN_ROUNDS else BUDGET_SECONDS
        if timer() - started >= limit:
            break
        rounds.append(_round(candidates, timer))
    seconds = {name: min(times[name] for times in rounds or [warm_up]) for name in candidates}
    return Comparison(seconds, waiting_share(warm if rounds else before, cores(), num_threads))


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
