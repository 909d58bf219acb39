"""`streamseg eval prompted`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.plots import plot_prompted
from streamseg.evaluation.prompted import evaluate_prompted

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Masks that boxes and points select."""
    scores = evaluate_prompted(request.segment, request.folder, limit=request.limit, on_image=request.on_image)
    guided = {} if scores.guided_box is None else {"box, looked into": scores.guided_box}
    kinds = guided | {
        "box": scores.box,
        "box, filled": scores.filled_box,
        "1 point": scores.one_point,
        "3 points": scores.three_points,
    }
    table = Table(
        f"Prompted masks: {scores.num_objects} objects in {scores.num_pictures} pictures (no answer counts as IoU 0)",
        ("prompt", "mIoU", "small", "medium", "large", "answered", "mIoU of answers", "IoU>=.50", "IoU>=.75"),
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
    return Report(scores, (table,), {"prompted.png": partial(plot_prompted, scores)})


PROTOCOL = Protocol(run=run, folder="eval-coco")
