"""Plot of the results of `benchmarks.scaling`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

LABELS = {
    "objects": "objects (720p)",
    "prompts": "point prompts (720p, 30 objects)",
    "size": "image height (30 objects)",
}


def draw(frames: Sequence[dict[str, Any]], cameras: Sequence[dict[str, Any]], engine: str, path: Path) -> None:
    """Draw rates and ages over the number of cameras, and the time of a frame over each other number."""
    mpl.use("Agg")
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    axes = figure.subplots(1, 4)
    numbers = [one["value"] for one in cameras]
    axes[0].plot(
        numbers, [one["fps"] for one in cameras], "o-", color="#0072b2", label="frames per second, all together"
    )
    axes[0].plot(numbers, [one["age_ms"]["p95"] for one in cameras], "s--", color="#d55e00", label="age p95, ms")
    axes[0].set_xlabel("cameras (360p, 30 fps)")
    for axis, (plot, label) in zip(axes[1:], LABELS.items(), strict=True):
        rows = [one for one in frames if one["plot"] == plot]
        numbers = [one["value"] for one in rows]
        axis.plot(numbers, [one["network_ms"].p50 for one in rows], "o-", color="#0072b2", label="network p50, ms")
        axis.plot(numbers, [one["rest_ms"].p50 for one in rows], "s-", color="#009e73", label="everything else p50, ms")
        axis.plot(numbers, [one["rest_ms"].p95 for one in rows], ":", color="#009e73", label="everything else p95, ms")
        axis.set_xlabel(label)
    for axis in axes:
        axis.set_xscale("log", base=2 if axis in (axes[0], axes[3]) else 10)
        ticks = sorted({float(x) for line in axis.lines for x in line.get_xdata()})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.suptitle(f"streamseg, {engine}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
