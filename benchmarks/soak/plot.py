"""Age, drops and memory over the time of a soak."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchmarks.soak.listening import Minute, percentiles

__all__ = ["plot"]


def plot(minutes: Sequence[Minute], path: Path) -> None:
    """Draw one panel each for the p99 age and the rate by source, drops by reason, and memory; write a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 10), layout="constrained")
    ages, rates, drops, memory = figure.subplots(4, 1, sharex=True)
    ends = list(accumulate(minute.seconds / 60 for minute in minutes))
    for source_id in sorted({source_id for minute in minutes for source_id in minute.ages_ms}):
        found = [minute.ages_ms.get(source_id, []) for minute in minutes]
        ages.plot(ends, [percentiles(values, 99)[0] for values in found], marker=".", label=source_id)
        rates.plot(
            ends, [len(values) / minute.seconds for values, minute in zip(found, minutes, strict=True)], marker="."
        )
    ages.set(ylabel="age p99, ms", ylim=(0, None), title="Age when the message was composed, per minute")
    rates.set(ylabel="messages/s", ylim=(0, None), title="Rate by source")
    for reason in sorted({reason for minute in minutes for reason in _reasons(minute)}):
        drops.plot(ends, [_reasons(minute).get(reason, 0) for minute in minutes], marker=".", label=reason)
    drops.set(ylabel="frames", ylim=(0, None), title="Frames not published since the start, by stage and reason")
    samples = [value for minute in minutes for value in minute.rss_mb]
    memory.plot(np.linspace(0, ends[-1], len(samples)), samples)
    memory.set(ylabel="MB", xlabel="minutes", title="Resident memory", xlim=(0, None))
    for panel in (ages, drops):
        if panel.lines:
            panel.legend(fontsize="small", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def _reasons(minute: Minute) -> dict[str, int]:
    """Return the drops of all sources by stage and reason."""
    found: dict[str, int] = {}
    for stages in minute.drops.values():
        for stage, reasons in stages.items():
            for reason, number in reasons.items():
                found[f"{stage} {reason}"] = found.get(f"{stage} {reason}", 0) + number
    return found
