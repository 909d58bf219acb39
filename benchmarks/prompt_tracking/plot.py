"""Plot of the benchmark's results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.prompt_tracking.absences import Absences
from benchmarks.prompt_tracking.methods import METHODS

__all__ = ["draw"]


def draw(cost: dict[str, dict[int, float]], rows: Sequence[Absences], path: Path) -> None:
    """Draw cost and re-identification side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for state, line in cost.items():
        left.plot(list(line), list(line.values()), marker="o", label=state)
    fewest = min(cost["bound"])
    left.plot(
        list(cost["bound"]),
        [cost["bound"][fewest] + 0.1 * (number - fewest) for number in cost["bound"]],
        color="grey",
        linestyle=":",
        label="0.1 ms per prompt",
    )
    left.set(
        xscale="log", yscale="log", xlabel="prompts", ylabel="ms of CPU per frame", title="Cost of prompts, 30 objects"
    )
    left.legend()
    variants = list(dict.fromkeys(row.variant for row in rows))
    for shift, method in zip((-0.2, 0.2), METHODS, strict=True):
        shares = [row.share_right for row in rows if row.method == method]
        right.bar(np.arange(len(variants)) + shift, shares, width=0.4, label=method)
    right.set_xticks(range(len(variants)), variants, rotation=12)
    right.set(ylim=(0, 1), title="Right object after an absence", ylabel="share")
    right.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"wrote {path}")
