"""Plots of scores as PNG files. matplotlib is imported here alone, on first use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.evaluation.boundary import SIDE_BINS, BoundaryScores
from streamseg.evaluation.prompted import PromptedScores
from streamseg.evaluation.proposals import ProposalScores
from streamseg.evaluation.scores import Calibration, ScoreScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure", "plot_boundary", "plot_prompted", "plot_proposals", "plot_scores"]

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a8f98"
"""Colours that colour-blind readers can distinguish (Okabe and Ito, "Color Universal Design", 2008)."""
INK, RULE = "#22262b", "#dfe3e8"


@contextmanager
def figure(path: Path, num_axes: int, *, title: str) -> Iterator[Sequence[Axes]]:
    """Yield axes side by side in the common style; write the figure to `path` when the block ends.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": GREY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "grid.color": RULE,
        "grid.linewidth": 0.8,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 2.0,
    }
    with rc_context(style):
        drawn = Figure(figsize=(5.2 * num_axes, 4.2), layout="constrained")
        drawn.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        yield [drawn.add_subplot(1, num_axes, position + 1) for position in range(num_axes)]
        drawn.savefig(path, dpi=130, format="png")


def plot_proposals(scores: ProposalScores, path: Path) -> None:
    """Plot recall over the number of proposals and over the minimum IoU."""
    with figure(path, 2, title=f"Object proposals: {_count(scores.num_objects, scores.num_images)}") as (left, right):
        for kind, of, colour in (("box", scores.box, BLUE), ("mask", scores.mask, ORANGE)):
            numbers, recall = list(of.recall_curve), list(of.recall_curve.values())
            left.plot(numbers, recall, color=colour, label=f"{kind}, AUC {of.auc:.3f}")
            left.plot(list(of.recall), list(of.recall.values()), "o", color=colour, markersize=5)
            for number, value in of.recall.items():
                left.annotate(
                    f"{value:.2f}",
                    (number, value),
                    # The curve rises to the right of a point, and the curve of boxes lies above that of masks.
                    xytext=(-2, 5) if kind == "box" else (0, -15),
                    textcoords="offset points",
                    ha="right" if kind == "box" else "center",
                    color=colour,
                    fontsize=9,
                )
            levels = [float(level) for level in of.recall_by_iou]
            right.plot(levels, list(of.recall_by_iou.values()), "o-", color=colour, markersize=4, label=kind)
        left.set(xscale="log", xlim=(1, 1500), ylim=(0, 1), xlabel="proposals per image", ylabel="average recall")
        left.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        left.set_title("AR, mean over IoU 0.50 to 0.95")
        right.set(xlim=(0.49, 0.96), ylim=(0, 1), xlabel="IoU from which an object is found", ylabel="recall")
        right.set_title("Recall at 1000 proposals")
        left.legend(loc="upper left")
        right.legend(loc="upper right")


def plot_prompted(scores: PromptedScores, path: Path) -> None:
    """Plot the share of objects over the minimum IoU of the selected mask."""
    title = f"Prompted masks: {_count(scores.num_objects, scores.num_images)}"
    kinds = [
        ("box", scores.guided_box, PURPLE),
        ("box, among objects found", scores.box, BLUE),
        ("1 point", scores.guided_one_point, ORANGE),
        ("3 points", scores.guided_three_points, GREEN),
    ]
    width = 0.8 / len(kinds)
    with figure(path, 2, title=title) as (left, right):
        for position, (kind, of, colour) in enumerate(kinds):
            levels = [float(level) for level in of.share_above]
            left.plot(levels, list(of.share_above.values()), color=colour, label=f"{kind}, mIoU {of.mean_iou:.3f}")
            places = [place + width * (position - (len(kinds) - 1) / 2) for place in range(4)]
            heights = [of.mean_iou, *of.mean_iou_by_size.values()]
            bars = right.bar(places, heights, width=0.93 * width, color=colour, label=kind)
            right.bar_label(bars, fmt="%.2f", fontsize=8 if len(kinds) < 4 else 7, padding=1)
        left.set(xlim=(0, 1), ylim=(0, 1), xlabel="IoU", ylabel="share of objects")
        left.set_title("Mask with at least this IoU")
        left.legend(loc="lower left")
        right.set(ylim=(0, 1), ylabel="mean IoU")
        right.set_xticks(range(4), ["all", *scores.box.mean_iou_by_size])
        right.grid(visible=False, axis="x")
        right.set_title("By the size of the object")
        right.legend(loc="upper left")


def plot_boundary(scores: BoundaryScores, path: Path) -> None:
    """Plot boundary IoU and mask IoU of the objects found, by their size."""
    title = f"Outlines of masks: {_count(scores.num_objects, scores.num_images)}"
    bins = [(int(side), *values) for side, values in scores.by_side_px.items()]
    edges = dict(itertools.pairwise(SIDE_BINS))
    names = [f"{side}–{edges[side]}" if side != SIDE_BINS[-2] else f"≥ {side}" for side, *_ in bins]
    with figure(path, 2, title=title) as (left, right):
        places = range(len(bins))
        left.plot(places, [one[3] for one in bins], "o-", color=GREY, markersize=4, label="mask IoU")
        left.plot(places, [one[2] for one in bins], "o-", color=BLUE, markersize=4, label="boundary IoU")
        left.set_xticks(places, [f"{name}\n{one[1]}" for name, one in zip(names, bins, strict=True)], fontsize=8)
        left.set(xlim=(-0.5, len(bins) - 0.5), ylim=(0, 1), ylabel="mean IoU")
        left.set(xlabel="root of the object's area in pixels, number of objects")
        left.set_title("Objects found (IoU ≥ 0.5)")
        left.legend(loc="lower right")
        kinds = (("found", scores.found, BLUE), ("best mask", scores.best, GREEN), ("by box", scores.prompted, ORANGE))
        for position, (kind, of, colour) in enumerate(kinds):
            columns = [place + 0.27 * (position - 1) for place in range(4)]
            heights = [of.boundary_iou, *of.boundary_iou_by_size.values()]
            right.bar_label(
                right.bar(columns, heights, width=0.25, color=colour, label=kind), fmt="%.2f", fontsize=8, padding=1
            )
        right.set_xticks(range(4), ["all", *scores.found.boundary_iou_by_size])
        right.set(ylim=(0, 1), ylabel="mean boundary IoU")
        right.grid(visible=False, axis="x")
        right.set_title("By the size of the object")
        right.legend(loc="upper left", ncols=3, fontsize=9)


def plot_scores(scores: ScoreScores, path: Path) -> None:
    """Plot reliability: mask IoU over score."""
    with figure(path, 2, title=f"Scores and masks: {scores.num_images} images") as axes:
        _reliability(axes[0], scores.on_objects, "Proposals on labelled objects")
        _reliability(axes[1], scores.all_proposals, "All proposals (not everything is labelled)")


def _reliability(axes: Axes, of: Calibration, title: str) -> None:
    total = max(of.num_proposals, 1)
    centres = [(one.low + one.high) / 2 for one in of.reliability]
    width = of.reliability[0].high - of.reliability[0].low
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2, label="score = IoU")
    shares = [one.num_proposals / total for one in of.reliability]
    axes.bar(centres, shares, width=0.94 * width, color=RULE, label="share of proposals")
    occupied = [one for one in of.reliability if one.num_proposals]
    for values, colour, label in (
        ([one.mean_iou for one in occupied], BLUE, f"mean IoU (error {of.calibration_error:.3f})"),
        (
            [one.share_correct for one in occupied],
            ORANGE,
            f"share with IoU ≥ 0.5 (error {of.calibration_error_50:.3f})",
        ),
    ):
        # No clipping, because a point may lie on the border.
        scored = [one.mean_score for one in occupied]
        axes.plot(scored, values, "o-", color=colour, markersize=5, label=label, clip_on=False, in_layout=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="mean over proposals")
    axes.set_title(f"{title}\nn = {of.num_proposals}, Spearman {of.spearman:.3f}")
    # The legend lies below the axes, because points may lie anywhere inside.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=9)


def _count(num_objects: int, num_images: int) -> str:
    return f"{num_objects} objects in {num_images} images"
