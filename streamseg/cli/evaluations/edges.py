"""`streamseg eval edges`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.curves import plot_edges
from streamseg.evaluation.edges import evaluate_edges

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Outlines of everything found, against boundaries that people drew."""
    scores = evaluate_edges(request.segment, request.folder, limit=request.limit, on_picture=request.on_picture)
    table = Table(
        f"Zero-shot edges: {scores.num_pictures} pictures, {scores.num_drawings} drawings",
        ("", "ODS", "OIS", "AP", "R50", "threshold"),
        (
            (
                "outlines of masks",
                scores.ods,
                scores.ois,
                scores.average_precision,
                scores.recall_at_half_precision,
                scores.ods_threshold,
            ),
        ),
    )
    return Report(scores, (table,), {"edges.png": partial(plot_edges, scores)})


PROTOCOL = Protocol(run=run, folder="eval-edges")
