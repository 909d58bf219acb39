"""Reports of `streamseg eval`: one function per protocol measures and lays out its tables and plots.

Protocols that follow objects over time are in `eval_sequence_reports`.

The modules of `streamseg.evaluation` are imported when a protocol runs, because most of them import torch and OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.terminal import Table
from streamseg.errors import counted

if TYPE_CHECKING:
    from streamseg.datasets.problems import Problems
    from streamseg.datasets.subset import ImageList
    from streamseg.evaluation.edges import EdgeScores
    from streamseg.evaluation.truth import BoxInstances, RankInstances
    from streamseg.pipeline.segment_function import SegmentFunction

__all__ = [
    "EdgeComparison",
    "Report",
    "Request",
    "boundary",
    "edges",
    "prompted",
    "proposals",
    "scores",
]


@dataclass(frozen=True)
class Request:
    """The weights and the data that a protocol measures."""

    segment: SegmentFunction
    """RGB images (H, W, 3) to their objects."""
    segment_live: SegmentFunction
    """The same with the thresholds of `streamseg run`, which may find fewer objects."""
    rank: RankInstances
    """The scores by which objects are ranked for precision and recall."""
    box: BoxInstances
    """The boxes of objects whose recall and precision are measured."""
    folder: Path
    """The data set; meaningless if the protocol needs none."""
    limit: int | None
    """Number of images to use, the first ones; None for all."""
    on_image: Callable[[int, int], None]
    """Progress callback: number of images done, and their total."""
    problems: Problems | None = None
    """Collects the images and annotations that are skipped; None refuses them."""
    held_out: ImageList | None = None
    """Images to measure on in place of the data set, by protocols that need labelled images."""

    @property
    def images(self) -> Path | ImageList:
        """The labelled images to measure on."""
        return self.folder if self.held_out is None else self.held_out


@dataclass(frozen=True)
class Report:
    """Scores, and how to show them."""

    scores: Any
    """A dataclass of figures; `evaluation.results.result_fields` gives the JSON fields."""
    tables: tuple[Table, ...]
    plots: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    """Functions that draw a plot to the given path, by file name such as "recall.png"."""


@dataclass(frozen=True)
class EdgeComparison:
    """Edge scores of the same masks, made into edges in two ways."""

    strongest: EdgeScores
    """`combine="max"`, as published."""
    votes: EdgeScores
    """`combine="votes"`."""


def proposals(request: Request) -> Report:
    """Measure recall and precision of class-agnostic proposals."""
    from streamseg.evaluation.plots import plot_proposals
    from streamseg.evaluation.proposals import evaluate_proposals

    result = evaluate_proposals(
        request.segment,
        request.images,
        limit=request.limit,
        on_image=request.on_image,
        problems=request.problems,
        rank=request.rank,
        box=request.box,
    )
    recall = Table(
        f"Object proposals: {counted(result.num_objects, 'object')} in {counted(result.num_images, 'image')},"
        f" {result.num_proposals:.0f} proposals per image (small, medium, large: AR@1000)",
        ("", "AR@10", "AR@100", "AR@1000", "AUC", "small", "medium", "large", "AP", "AP50", "AP75"),
        tuple(
            (
                kind,
                *of.recall.values(),
                of.auc,
                *of.recall_by_size.values(),
                of.precision,
                of.precision_50,
                of.precision_75,
            )
            for kind, of in {"box": result.box, "mask": result.mask}.items()
        ),
    )
    categories = Table(
        f"Mean IoU of the best mask: {result.mean_best_iou:.3f}; share of objects with a mask of IoU >= 0.5",
        ("label", "found"),
        tuple(result.found_by_category.items()),
    )
    return Report(result, (recall, categories), {"proposals.png": partial(plot_proposals, result)})


def prompted(request: Request) -> Report:
    """Measure the masks that boxes and points select."""
    from streamseg.evaluation.plots import plot_prompted
    from streamseg.evaluation.prompted import evaluate_prompted

    result = evaluate_prompted(
        request.segment,
        request.images,
        guided=request.segment_live,
        limit=request.limit,
        on_image=request.on_image,
        problems=request.problems,
    )
    kinds = {
        "box, searched": result.guided_box,
        "1 point, searched": result.guided_one_point,
        "3 points, searched": result.guided_three_points,
        "box": result.box,
        "box, filled": result.filled_box,
        "1 point": result.one_point,
        "3 points": result.three_points,
    }
    table = Table(
        f"Prompted masks: {counted(result.num_objects, 'object')} in {counted(result.num_images, 'image')}"
        " (no selection counts as IoU 0)",
        ("prompt", "mIoU", "small", "medium", "large", "selected", "mIoU if selected", "IoU>=.50", "IoU>=.75"),
        tuple(
            (
                kind,
                of.mean_iou,
                *of.mean_iou_by_size.values(),
                of.share_answered,
                of.mean_iou_answered,
                of.share_above["0.50"],
                of.share_above["0.75"],
            )
            for kind, of in kinds.items()
        ),
    )
    return Report(result, (table,), {"prompted.png": partial(plot_prompted, result)})


def boundary(request: Request) -> Report:
    """Measure the boundary IoU of masks."""
    from streamseg.evaluation.boundary import evaluate_boundary
    from streamseg.evaluation.plots import plot_boundary

    result = evaluate_boundary(
        request.segment,
        request.images,
        limit=request.limit,
        on_image=request.on_image,
        problems=request.problems,
    )
    kinds = {
        "found (IoU >= .5)": result.found,
        "best mask per object": result.best,
        "selected by its box": result.prompted,
    }
    table = Table(
        f"Boundary IoU: {counted(result.num_objects, 'object')} in {counted(result.num_images, 'image')}",
        ("masks", "objects", "boundary IoU", "small", "medium", "large", "mask IoU", "small", "medium", "large"),
        tuple(
            (
                kind,
                of.num_objects,
                of.boundary_iou,
                *of.boundary_iou_by_size.values(),
                of.mask_iou,
                *of.mask_iou_by_size.values(),
            )
            for kind, of in kinds.items()
        ),
    )
    return Report(result, (table,), {"boundary.png": partial(plot_boundary, result)})


def scores(request: Request) -> Report:
    """Measure how well scores predict the IoU of masks."""
    from streamseg.evaluation.plots import plot_scores
    from streamseg.evaluation.scores import evaluate_scores

    result = evaluate_scores(
        request.segment,
        request.images,
        limit=request.limit,
        on_image=request.on_image,
        problems=request.problems,
    )
    table = Table(
        f"Scores against the IoU of masks: {counted(result.num_images, 'image')}",
        ("proposals", "number", "Spearman", "ECE", "ECE IoU>=.5", "Brier", "mean score", "mean IoU"),
        tuple(
            (
                name,
                of.num_proposals,
                of.spearman,
                of.calibration_error,
                of.calibration_error_50,
                of.brier,
                of.mean_score,
                of.mean_iou,
            )
            for name, of in {"on labelled objects": result.on_objects, "all": result.all_proposals}.items()
        ),
    )
    return Report(result, (table,), {"reliability.png": partial(plot_scores, result)})


def edges(request: Request) -> Report:
    """Measure the outlines of all masks against boundaries drawn by people."""
    from streamseg.evaluation.curves import plot_edges
    from streamseg.evaluation.edges import evaluate_edges

    strongest = evaluate_edges(
        request.segment,
        request.folder,
        limit=request.limit,
        on_image=lambda done, total: request.on_image(done, 2 * total),
        problems=request.problems,
    )
    votes = evaluate_edges(
        request.segment,
        request.folder,
        combine="votes",
        limit=request.limit,
        on_image=lambda done, total: request.on_image(total + done, 2 * total),
        problems=request.problems,
    )
    by_name = {"strongest outline": strongest, "votes of outlines": votes}
    table = Table(
        f"Zero-shot edges: {counted(votes.num_images, 'image')}, {counted(votes.num_drawings, 'drawing')}",
        ("", "ODS", "OIS", "AP", "R50", "threshold"),
        tuple(
            (name, of.ods, of.ois, of.average_precision, of.recall_at_half_precision, of.ods_threshold)
            for name, of in by_name.items()
        ),
    )
    return Report(EdgeComparison(strongest, votes), (table,), {"edges.png": partial(plot_edges, by_name)})
