"""Reports of the protocols of `streamseg eval` that follow objects over time; see `eval_reports`."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from streamseg.cli.eval_reports import Report, Request
from streamseg.cli.terminal import Table
from streamseg.errors import counted

__all__ = ["scene", "video"]


def video(request: Request) -> Report:
    """Measure one object per sequence, tracked from a prompt in the first frame."""
    from streamseg.evaluation.curves import plot_video
    from streamseg.evaluation.video import evaluate_video

    result = evaluate_video(
        request.segment,
        request.folder,
        limit=request.limit,
        on_image=request.on_image,
        problems=request.problems,
    )
    rows = {f"{prompt}, {name}": of for prompt, by_name in result.by_prompt.items() for name, of in by_name.items()}
    rows["best mask per frame"] = result.best
    measure = attrgetter("mean", "recall", "decay")
    means = Table(
        f"Tracking from a prompt in the first frame: {counted(result.num_sequences, 'sequence')},"
        f" {counted(result.num_frames, 'frame')}",
        ("", "J&F", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay", "selected"),
        tuple(
            (name, of.region_and_contour, *measure(of.region), *measure(of.contour), of.share_answered)
            for name, of in rows.items()
        ),
    )
    sequences = Table(
        "J&F by sequence",
        ("", *result.best.sequences),
        tuple((name, *(one.region_and_contour for one in of.sequences.values())) for name, of in rows.items()),
    )
    claims = Table(
        "Claims of guided prompts: answers that claim at least 0.9, and the share of those with IoU >= 0.5",
        ("", "answers", "claims", "correct", "ECE IoU", "ECE IoU>=.5", "mean", "mean IoU"),
        tuple(
            (
                name,
                of.num_answers,
                of.num_claims,
                of.share_correct,
                of.calibration.calibration_error,
                of.calibration.calibration_error_50,
                of.calibration.mean_score,
                of.calibration.mean_iou,
            )
            for name, of in result.claims.items()
        ),
    )
    return Report(result, (means, sequences, claims), {"video.png": partial(plot_video, result)})


def scene(request: Request) -> Report:
    """Measure detection and tracking on the rendered scene."""
    from streamseg.evaluation.curves import plot_scene
    from streamseg.evaluation.scene import evaluate_scene

    result = evaluate_scene(
        request.segment,
        live_segment=request.segment_live,
        limit=request.limit,
        on_image=request.on_image,
        rank=request.rank,
    )
    name = "whole objects"
    detected = Table(
        f"Rendered scene: {counted(result.num_objects, 'object')} in {counted(result.num_frames, 'frame')} of"
        f" {counted(result.num_scenes, 'scene')}",
        ("masks", "AP50", "AP", "AR@100"),
        ((name, result.average_precision_50, result.average_precision, result.recall_100),),
    )
    accuracies = (result.detection_accuracy, result.association_accuracy, result.localisation_accuracy)
    tracked = Table(
        "Tracks",
        ("tracks", "IDF1", "HOTA", "DetA", "AssA", "LocA", "switches", "fragments"),
        ((name, result.idf1, result.hota, *accuracies, result.num_switches, result.num_fragmentations),),
    )
    return Report(result, (detected, tracked), {"scene.png": partial(plot_scene, result)})
