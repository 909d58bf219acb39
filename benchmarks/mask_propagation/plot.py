"""Plot of the cost."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BUDGET_MS", "draw"]

BUDGET_MS = 6.0


def draw(cost: dict[str, dict[int, float]], path: Path) -> None:
    """Draw milliseconds per frame over the number of targets."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for state, line in cost.items():
        axes.plot(list(line), list(line.values()), marker="o", label=state)
    axes.axhline(BUDGET_MS, color="grey", linestyle=":", label="budget")
    axes.set(xlabel="targets", ylabel="ms of CPU per frame", ylim=(0, None), title="Propagation at 720p, one core")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"wrote {path}")
