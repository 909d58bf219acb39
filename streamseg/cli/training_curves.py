"""Plot of a training run: `curves.png` in its folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streamseg.errors import DataError, reason_of

__all__ = ["CURVES", "can_draw", "draw_curves"]

CURVES = "curves.png"


def can_draw() -> bool:
    """Return whether matplotlib, an optional dependency, is installed."""
    return find_spec("matplotlib") is not None


def draw_curves(folder: Path) -> Path:
    """Draw the losses, the learning rate and the evaluations logged so far.

    Returns:
        Path of the plot.

    Raises:
        DataError: a log cannot be read, or the plot cannot be written.
    """
    from streamseg.training.step_log import read_lines
    from streamseg.training.trainer import EVALUATIONS, LOSSES

    path = folder / CURVES
    try:
        _draw(read_lines(folder / LOSSES), read_lines(folder / EVALUATIONS), path)
    except OSError as error:
        raise DataError(f"cannot draw {path}: {reason_of(error)}") from error
    return path


def _draw(losses: list[dict[str, Any]], evaluations: list[dict[str, Any]], path: Path) -> None:
    from streamseg.evaluation.plots import BLUE, GREEN, GREY, INK, ORANGE, figure

    palette = (BLUE, ORANGE, GREEN, GREY)
    last = losses[-1] if losses else {"step": 0, "num_steps": 0}
    title = f"Training: step {last['step']} of {last['num_steps']}"
    steps = [line["step"] for line in losses]
    with figure(path, 3 if evaluations else 2, title=title) as axes:
        names = list(losses[-1]["losses"]) if losses else []
        totals = [sum(line["losses"].values()) for line in losses]
        axes[0].plot(steps, totals, color=INK, marker="." if len(steps) < 3 else None, label="sum")
        for position, name in enumerate(names):
            values = [line["losses"][name] for line in losses]
            axes[0].plot(steps, values, color=palette[position % 4], linewidth=1.4, label=name)
        axes[0].set(xlabel="step", ylabel="loss, weighted", ylim=(0, None))
        axes[0].set_title("Losses")
        # Below the axes, because a curve may lie anywhere inside.
        axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=5, fontsize=9)
        axes[1].plot(steps, [line["learning_rate"] for line in losses], color=BLUE)
        axes[1].set(xlabel="step", ylabel="learning rate", ylim=(0, None))
        axes[1].set_title("Learning rate")
        if evaluations:
            for position, name in enumerate(evaluations[-1]["scores"]):
                measured = [(line["step"], line["scores"][name]) for line in evaluations if name in line["scores"]]
                axes[2].plot(*zip(*measured, strict=True), "o-", color=palette[position % 4], markersize=4, label=name)
            axes[2].set(xlabel="step", xlim=(0, None), ylim=(0, None))
            axes[2].set_title("Evaluation of the averaged network")
            axes[2].legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=9)
