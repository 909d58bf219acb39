"""`streamseg pack`: copy the training data of a recipe into one small folder, for use on another machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.cli.data_problems import ProblemReport, add_strict_argument
from streamseg.cli.terminal import ProgressBar
from streamseg.errors import ConfigError, counted

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `pack` to the command line."""
    parser = subparsers.add_parser(
        "pack",
        help="copy the data of a training recipe into one small folder",
        description="Write the images of a recipe, downscaled, with their labels and a recipe that uses them.",
    )
    parser.add_argument("recipe", type=Path, help="YAML file, such as configs/train-default.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for the packed data")
    parser.add_argument(
        "--max-side",
        type=int,
        default=512,
        metavar="PX",
        help="maximum length of an image's long side, 32 to 16384 (default %(default)s)",
    )
    parser.add_argument("--quality", type=int, default=80, help="JPEG quality, 1 to 100 (default %(default)s)")
    add_strict_argument(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Pack the data; exit code 0."""
    for name, low, high in (("max_side", 32, 16384), ("quality", 1, 100)):
        if not low <= getattr(args, name) <= high:
            raise ConfigError(f"--{name.replace('_', '-')} must be {low} to {high}, got {getattr(args, name)}")

    from streamseg.datasets.problems import Problems
    from streamseg.training.pack import pack_recipe
    from streamseg.training.recipe import load_recipe

    problems = Problems()
    with ProgressBar("images") as bar:
        packed = pack_recipe(
            load_recipe(args.recipe),
            args.data,
            args.out,
            max_side=args.max_side,
            quality=args.quality,
            on_image=bar,
            problems=None if args.strict else problems,
        )
    ProblemReport().count(problems)
    megabytes = packed.num_bytes / 1e6
    counts = f"{counted(packed.num_images, 'image')}, {counted(packed.num_annotations, 'label')}"
    print(f"wrote {args.out}: {counts}, {megabytes:.1f} MB")
    print(f"train with: streamseg train {args.out / 'recipe.yaml'} --data {args.out} --out RUN")
    return 0
