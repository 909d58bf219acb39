"""`streamseg eval proposals`."""

from __future__ import annotations

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.proposals import evaluate_proposals

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Recall of proposals."""
    scores = evaluate_proposals(request.segment, request.folder, limit=request.limit, on_picture=request.on_picture)
    columns = ("", "AR@10", "AR@100", "AR@1000", "small", "medium", "large")
    rows = (
        ("box", *scores.box_recall.values(), *scores.box_recall_by_size.values()),
        ("mask", *scores.mask_recall.values(), *scores.mask_recall_by_size.values()),
    )
    title = f"Object proposals: {scores.num_objects} objects in {scores.num_pictures} pictures"
    return Report(scores, (Table(title, columns, rows),))


PROTOCOL = Protocol(run=run, folder="eval-coco")
