"""`streamseg eval edges`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.curves import plot_edges
from streamseg.evaluation.edges import EdgeScores, evaluate_edges

__all__ = ["PROTOCOL", "EdgeComparison"]


@dataclass(frozen=True)
class EdgeComparison:
    """The same masks, made into edges in two ways."""

    strongest: EdgeScores
    """`combine="max"`, as published."""
    votes: EdgeScores
    """`combine="votes"`."""


def run(request: Request) -> Report:
    """Outlines of everything found, against boundaries that people drew."""
    strongest = evaluate_edges(
        request.segment,
        request.folder,
        limit=request.limit,
        on_image=lambda done, total: request.on_image(done, 2 * total),
    )
    votes = evaluate_edges(
        request.segment,
        request.folder,
        combine="votes",
        limit=request.limit,
        on_image=lambda done, total: request.on_image(total + done, 2 * total),
    )
    by_name = {"strongest outline": strongest, "votes of outlines": votes}
    table = Table(
        f"Zero-shot edges: {votes.num_pictures} pictures, {votes.num_drawings} drawings",
        ("", "ODS", "OIS", "AP", "R50", "threshold"),
        tuple(
            (
                name,
                scores.ods,
                scores.ois,
                scores.average_precision,
                scores.recall_at_half_precision,
                scores.ods_threshold,
            )
            for name, scores in by_name.items()
        ),
    )
    return Report(EdgeComparison(strongest, votes), (table,), {"edges.png": partial(plot_edges, by_name)})


# Masks that overlap more than usual may all have a say, and very doubtful ones, too: what counts is what they agree on.
PROTOCOL = Protocol(run=run, folder="eval-edges", conf=0.003, iou=0.9)
