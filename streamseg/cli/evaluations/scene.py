"""`streamseg eval scene`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.curves import plot_scene
from streamseg.evaluation.scene import evaluate_scene

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """Objects of the rendered scene, found and followed."""
    scores = evaluate_scene(
        request.segment, follow=request.segment_live, limit=request.limit, on_image=request.on_image
    )
    found = Table(
        f"Rendered scene: {scores.num_objects} objects in {scores.num_frames} frames of {scores.num_scenes} scenes",
        ("masks", "AP50", "AP", "AR@100"),
        (("whole objects", scores.average_precision_50, scores.average_precision, scores.recall_100),),
    )
    followed = Table(
        "Followed by the tracker",
        ("tracks", "IDF1", "HOTA", "DetA", "AssA", "LocA", "switches", "fragments"),
        (
            (
                "whole objects",
                scores.idf1,
                scores.hota,
                scores.detection_accuracy,
                scores.association_accuracy,
                scores.localisation_accuracy,
                scores.num_switches,
                scores.num_fragmentations,
            ),
        ),
    )
    return Report(scores, (found, followed), {"scene.png": partial(plot_scene, scores)})


PROTOCOL = Protocol(run=run, folder=None, unit="frames")
