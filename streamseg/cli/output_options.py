"""The options of the results of `streamseg segment`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.datasets.formats import FORMATS
from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.cli.outputs import Outputs
    from streamseg.cli.segment_job import Job

__all__ = ["add_output_arguments", "check_output_arguments", "open_outputs"]


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the results."""
    parser.add_argument("--out", type=Path, help="folder for the results (default out)")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="format of the labels: coco (exact masks in instances.json), yolo (polygons, data.yaml), labelme (polygons"
        " in a JSON file per image), masks (a PNG of object numbers per image) (default %(default)s)",
    )
    parser.add_argument(
        "--no-images",
        action="store_true",
        help="do not copy the images into the results, but refer to them; of a video, write no frames",
    )
    parser.add_argument("--no-overlay", action="store_true", help="write no overlays")


def check_output_arguments(args: argparse.Namespace) -> None:
    """Raise a ConfigError if the options contradict each other."""
    if args.no_images and args.format == "yolo":
        raise ConfigError("--format yolo finds labels beside their images; omit --no-images, or use another format")


def open_outputs(
    args: argparse.Namespace, job: Job, paths: Sequence[Path] | None, *, fps: float, keep_finished: bool
) -> Outputs:
    """Return the outputs of a job.

    Args:
        args: the options of `add_output_arguments`.
        job: the job.
        paths: its images; None for a video.
        fps: nominal frame rate of the video.
        keep_finished: see `Outputs`.

    Raises:
        DataError: the folder is not writable, or contains a data set that is no result of an earlier run.
    """
    from streamseg.cli.outputs import Outputs
    from streamseg.datasets.writers import Categories
    from streamseg.structures.prompt import TextPrompt

    texts = [prompt.text for prompt in job.prompts if isinstance(prompt, TextPrompt)]
    return Outputs(
        job.folder,
        Path(job.source),
        paths=paths,
        video_fps=fps,
        data_format=args.format,
        categories=Categories(texts, has_unlabelled=len(texts) < len(job.prompts)),
        copy_images=args.format == "yolo" or (job.copies_images and not args.no_images),
        overlay=not args.no_overlay,
        keep_finished=keep_finished,
        image_name=job.image_name,
        draw=job.draw,
    )
