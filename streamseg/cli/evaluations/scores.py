"""`streamseg eval scores`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.plots import plot_scores
from streamseg.evaluation.scores import evaluate_scores

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Scores against the IoU of masks."""
    scores = evaluate_scores(request.segment, request.folder, limit=request.limit, on_image=request.on_image)
    groups = {"on labelled objects": scores.on_objects, "all": scores.all_proposals}
    table = Table(
        f"Scores against the IoU of masks: {scores.num_pictures} pictures",
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
            for name, of in groups.items()
        ),
    )
    return Report(scores, (table,), {"reliability.png": partial(plot_scores, scores)})


PROTOCOL = Protocol(run=run, folder="eval-coco", conf=0.05)
