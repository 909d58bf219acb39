"""Plots of edges, sequences and scenes, in the style of `plots`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from streamseg.evaluation.edges import EdgeScores
from streamseg.evaluation.hota import ALPHAS
from streamseg.evaluation.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, figure
from streamseg.evaluation.scene import SceneScores
from streamseg.evaluation.video import VideoScores

__all__ = ["plot_edges", "plot_scene", "plot_video"]

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56b4e9", "#e69f00")
HATCHES = (None, "//", "..")


def plot_edges(by_name: Mapping[str, EdgeScores], path: Path) -> None:
    """Plot precision over recall of one or more detectors, with lines of equal F-measure."""
    num_images = max(scores.num_images for scores in by_name.values())
    with figure(path, 1, title=f"Zero-shot edges: {num_images} images") as (axes,):
        for f_measure in (0.2, 0.4, 0.6, 0.8):
            # Start where precision equals recall; the steep half is the mirror image.
            high = np.linspace(f_measure, 1, 100)
            low = f_measure * high / (2 * high - f_measure)
            # Line and label stay below the measured curves.
            axes.plot([*low[::-1], *high], [*high[::-1], *low], color=GREY, linewidth=0.8, linestyle=":", zorder=1.0)
            axes.annotate(
                f"F {f_measure:.1f}",
                (1.0, f_measure / (2 - f_measure)),
                color=GREY,
                fontsize=8,
                ha="right",
                va="center",
                zorder=1.1,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )
        for (name, scores), colour in zip(by_name.items(), COLOURS, strict=False):
            # Thresholds above the strongest edge have no edges.
            points = [pair for pair in zip(scores.recall, scores.precision, strict=True) if pair[0] > 0]
            figures = f"ODS {scores.ods:.3f}, OIS {scores.ois:.3f}, AP {scores.average_precision:.3f}"
            recall, precision = [point[0] for point in points], [point[1] for point in points]
            axes.plot(recall, precision, color=colour, label=f"{name}: {figures}")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
        # The legend needs a background, because lines of equal F run everywhere.
        axes.legend(loc="lower left", frameon=True, facecolor="white", framealpha=1.0, edgecolor="none")


def plot_video(scores: VideoScores, path: Path) -> None:
    """Plot J & F of each sequence by prompt and tracking method, with the best available mask."""
    names = list(scores.best.sequences)
    # One colour per method, one pattern per prompt.
    methods = [
        (f"{prompt}, {name}", of, COLOURS[place % len(COLOURS)], HATCHES[kind % len(HATCHES)])
        for kind, (prompt, by_name) in enumerate(scores.by_prompt.items())
        for place, (name, of) in enumerate(by_name.items())
    ]
    with figure(path, 1, title=f"Followed from the first frame: {scores.num_frames} frames") as (axes,):
        width = 0.8 / max(len(methods), 1)
        for position, (name, of, colour, hatch) in enumerate(methods):
            places = [place + width * (position - (len(methods) - 1) / 2) for place in range(len(names))]
            heights = [of.sequences[sequence].region_and_contour for sequence in names]
            label = f"{name}: {of.region_and_contour:.3f}"
            axes.bar(places, heights, width=0.9 * width, color=colour, hatch=hatch, edgecolor="white", label=label)
        best = [scores.best.sequences[sequence].region_and_contour for sequence in names]
        label = f"best mask without search regions: {scores.best.region_and_contour:.3f}"
        axes.hlines(
            best,
            [place - 0.42 for place in range(len(names))],
            [place + 0.42 for place in range(len(names))],
            color="black",
            label=label,
        )
        axes.set_xticks(range(len(names)), names, rotation=20, fontsize=8)
        axes.grid(visible=False, axis="x")
        axes.set(ylim=(0, 1), ylabel="J & F")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, fontsize=8)


def plot_scene(scores: SceneScores, path: Path) -> None:
    """Plot HOTA over the minimum similarity of a pair."""
    with figure(path, 1, title=f"Rendered scene: {scores.num_frames} frames of {scores.num_scenes} scenes") as (axes,):
        axes.plot(ALPHAS, scores.hota_at, "o-", color=BLUE, markersize=4, label=f"HOTA, mean {scores.hota:.3f}")
        axes.axhline(scores.idf1, color=ORANGE, linestyle="--", linewidth=1.2, label=f"IDF1 {scores.idf1:.3f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="minimum IoU of a pair", ylabel="accuracy")
        axes.set_title(f"AP50 {scores.average_precision_50:.3f}, identity switches {scores.num_switches}")
        axes.legend(loc="lower left")
