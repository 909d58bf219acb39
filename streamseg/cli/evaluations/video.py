"""`streamseg eval video`."""

from __future__ import annotations

from functools import partial

from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.tables import Table
from streamseg.evaluation.curves import plot_video
from streamseg.evaluation.video import FollowScores, evaluate_video

__all__ = ["PROTOCOL"]


def run(request: Request) -> Report:
    """One object through films, from a prompt in the first frame."""
    scores = evaluate_video(request.segment, request.folder, limit=request.limit, on_image=request.on_image)
    rows = {f"{prompt}, {name}": of for prompt, by_name in scores.by_prompt.items() for name, of in by_name.items()} | {
        "best mask of each frame": scores.best
    }
    means = Table(
        f"Following from a prompt in the first frame: {scores.num_films} films, {scores.num_frames} frames",
        ("", "J&F", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay", "answered"),
        tuple((name, *_figures(of)) for name, of in rows.items()),
    )
    films = Table(
        "J&F by film",
        ("", *scores.best.films),
        tuple((name, *(film.region_and_contour for film in of.films.values())) for name, of in rows.items()),
    )
    return Report(scores, (means, films), {"video.png": partial(plot_video, scores)})


def _figures(of: FollowScores) -> tuple[float, ...]:
    region, contour = of.region, of.contour
    return (
        of.region_and_contour,
        region.mean,
        region.recall,
        region.decay,
        contour.mean,
        contour.recall,
        contour.decay,
        of.share_answered,
    )


# What is followed live is what `streamseg run` finds.
PROTOCOL = Protocol(run=run, folder="eval-video", unit="frames", conf=0.25, max_det=300, embeddings=True)
