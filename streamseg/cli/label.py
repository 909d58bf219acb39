"""`streamseg label`: add the network's own confident detections to the labels of a folder (self-training)."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from streamseg.cli.data_problems import ProblemReport, add_strict_argument
from streamseg.cli.segment import add_segmentation_arguments, segmentation_config
from streamseg.cli.terminal import ProgressBar
from streamseg.cli.tier_options import add_grid_arguments, open_grid
from streamseg.errors import ConfigError, counted

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `label` to the command line."""
    parser = subparsers.add_parser(
        "label",
        help="label the unlabelled objects of a data set with confident detections",
        description="Write a COCO-format folder with the labels of FOLDER, plus the network's detections of unlabelled"
        ' objects, marked "pseudo".',
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="COCO format: instances.json and images/")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for the result")
    parser.add_argument(
        "--min-score", type=float, default=0.5, help="discard detections below this score, 0 to 1 (default %(default)s)"
    )
    parser.add_argument(
        "--max-overlap",
        type=float,
        default=0.1,
        help="discard detections if a larger share of them is labelled already, 0 to 1 (default %(default)s)",
    )
    add_strict_argument(parser)
    add_segmentation_arguments(parser, {"conf": "--min-score"})
    add_grid_arguments(parser, "--teacher", "label with the objects of this model in place of the network's")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Label the folder; exit code 0."""
    for name in ("min_score", "max_overlap"):
        if not 0 <= getattr(args, name) <= 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be 0 to 1, got {getattr(args, name)}")
    config = segmentation_config(args, {"conf": args.min_score})

    from streamseg.cli.named_weights import fetch_named
    from streamseg.datasets.problems import Problems
    from streamseg.pipeline.segment_function import SegmentFunction
    from streamseg.segmentation import Segmenter
    from streamseg.training.pseudo import label_folder

    problems = Problems()
    with ProgressBar("images") as bar, ExitStack() as stack:
        segmenter: SegmentFunction
        if args.teacher is not None:
            segmenter = open_grid(args.teacher, args, device=config.device)
        else:
            fetch_named(config.weights)
            segmenter = stack.enter_context(Segmenter.from_config(config))
        num_added = label_folder(
            args.folder,
            args.out,
            segmenter,
            min_score=args.min_score,
            max_overlap=args.max_overlap,
            on_image=bar,
            problems=None if args.strict else problems,
        )
    ProblemReport().count(problems)
    print(f"wrote {args.out}: {counted(num_added, 'label')} added")
    return 0
