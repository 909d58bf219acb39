"""`streamseg eval boundary`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.boundary import evaluate_boundary
from streamseg.evaluation.plots import plot_boundary

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Outlines of masks."""
    scores = evaluate_boundary(request.segment, request.folder, limit=request.limit, on_image=request.on_image)
    kinds = {
        "found (IoU >= .5)": scores.found,
        "best mask of each object": scores.best,
        "answer to its box": scores.prompted,
    }
    table = Table(
        f"Boundary IoU: {scores.num_objects} objects in {scores.num_pictures} pictures",
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
    return Report(scores, (table,), {"boundary.png": partial(plot_boundary, scores)})


PROTOCOL = Protocol(run=run, folder="eval-coco")
