"""`streamseg pack`: what a recipe trains on in one small folder, to be carried to another machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.cli.progress import CountingBar
from streamseg.errors import ConfigError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `pack`."""
    parser = subparsers.add_parser(
        "pack",
        help="put the data of a training recipe into one small folder",
        description="Writes the pictures of a recipe, shrunk, with their labels and the recipe for them.",
    )
    parser.add_argument("recipe", type=Path, help="YAML, such as configs/train-default.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--max-side", type=int, default=512, metavar="PX", help="long side of the pictures (default %(default)s)"
    )
    parser.add_argument("--quality", type=int, default=80, help="of JPEG, 1 to 100 (default %(default)s)")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Pack; exit code 0."""
    for name, low, high in (("max_side", 32, 16384), ("quality", 1, 100)):
        if not low <= getattr(args, name) <= high:
            raise ConfigError(f"--{name.replace('_', '-')} must be {low} to {high}, got {getattr(args, name)}")

    from streamseg.training.pack import pack_recipe
    from streamseg.training.recipe import load_recipe

    bar = CountingBar("pictures")
    try:
        packed = pack_recipe(
            load_recipe(args.recipe),
            args.data,
            args.out,
            max_side=args.max_side,
            quality=args.quality,
            on_image=bar,
        )
    finally:
        bar.close()
    megabytes = packed.num_bytes / 1e6
    print(f"wrote {args.out}: {packed.num_pictures} pictures, {packed.num_annotations} labels, {megabytes:.1f} MB")
    print(f"train with: streamseg train {args.out / 'recipe.yaml'} --data {args.out} --out RUN")
    return 0
