"""Promises of a soak, and whether they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.soak.listening import Minute, percentiles

__all__ = ["judge"]

FRAME_TIMES = 3.0
MAX_GROWTH_PERCENT = 2.0
MAX_SLOPE_PERCENT = 1.0
"""Growth of the memory per hour."""
SLOPE_MINUTES = 30
"""A shorter run says too little about an hour."""
SLOPE_FROM_MINUTE = 10
"""Caches and pools are filled by then: the slope of a long run is that of the time after it."""
MIN_SAMPLES = 30

Verdict = dict[str, tuple[bool, str]]
"""For each promise whether it holds, with the figures."""


def judge(minutes: Sequence[Minute], frame_times_ms: Sequence[float], status: dict[str, Any]) -> Verdict:
    """Return for each promise whether it holds, with the figures.

    Args:
        minutes: at least one.
        frame_times_ms: time between two frames of a source.
        status: reply of the control channel at the end.
    """
    frame_ms = float(np.median(frame_times_ms))
    stages = status["stages_ms"]
    network_ms = stages.get("network", stages["segment"])[1]
    # The sources take turns.
    num_sources = max(len(minute.ages_ms) for minute in minutes)
    limit_ms = FRAME_TIMES * frame_ms + num_sources * network_ms
    limit = f"limit {limit_ms:.0f} ms = 3 x {frame_ms:.1f} + {num_sources} x network {network_ms:.0f}"
    p95, p99 = percentiles([age for minute in minutes for age in minute.all_ages_ms], 95, 99)
    return {
        "age": (p95 < limit_ms, f"p95 {p95:.0f}, p99 {p99:.0f} ms, {limit}"),
        "age does not grow": _age_growth(minutes),
        "memory": _memory(minutes),
    }


def _age_growth(minutes: Sequence[Minute]) -> tuple[bool, str]:
    """Compare the last third of the run with the first one, without the minute of warm-up."""
    after = minutes[1:]
    third = len(after) // 3
    if not third:
        return True, "not judged: four minutes are needed"
    first, last = (
        percentiles([age for minute in part for age in minute.all_ages_ms], 99)[0]
        for part in (after[:third], after[-third:])
    )
    return last < 1.5 * first, f"p99 {first:.0f} ms in the first third, {last:.0f} ms in the last one"


def _memory(minutes: Sequence[Minute]) -> tuple[bool, str]:
    """Fit a line; the first minutes fill caches and pools, and memory must not grow afterwards."""
    is_long = sum(minute.seconds for minute in minutes) >= SLOPE_MINUTES * 60
    num_skipped = SLOPE_FROM_MINUTE if is_long else 1
    after = [value for minute in minutes[num_skipped:] for value in minute.rss_mb]
    if len(after) < MIN_SAMPLES:
        return False, "a minute of warm-up and a minute to measure are needed"
    slope, start = np.polyfit(np.arange(len(after)), after, 1)
    growth_percent = float(slope) * len(after) / float(start) * 100
    per_hour = growth_percent * 3600 / sum(minute.seconds for minute in minutes[num_skipped:])
    words = f"{after[0]:.1f} MB to {after[-1]:.1f} MB from minute {num_skipped} on, the line grows by"
    words += f" {growth_percent:+.2f} %, {per_hour:+.2f} %/h"
    if not is_long:
        return growth_percent < MAX_GROWTH_PERCENT, f"{words} (limit {MAX_GROWTH_PERCENT:g} %; too short for the slope)"
    return per_hour < MAX_SLOPE_PERCENT, f"{words} (limit {MAX_SLOPE_PERCENT:g} %/h)"
