"""`streamseg eval proposals`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.plots import plot_proposals
from streamseg.evaluation.proposals import evaluate_proposals

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Recall and precision of proposals."""
    scores = evaluate_proposals(request.segment, request.folder, limit=request.limit, on_image=request.on_image)
    kinds = {"box": scores.box, "mask": scores.mask}
    recall = Table(
        f"Object proposals: {scores.num_objects} objects in {scores.num_pictures} pictures,"
        f" {scores.num_proposals:.0f} proposals a picture (small, medium, large: AR@1000)",
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
            for kind, of in kinds.items()
        ),
    )
    categories = Table(
        f"Mean IoU of the best mask: {scores.mean_best_iou:.3f}; share of objects with a mask of IoU >= 0.5",
        ("label", "found"),
        tuple(scores.found_by_category.items()),
    )
    return Report(scores, (recall, categories), {"proposals.png": partial(plot_proposals, scores)})


PROTOCOL = Protocol(run=run, folder="eval-coco")
