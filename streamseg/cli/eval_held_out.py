"""`streamseg eval --held-out`: measure on the images that a recipe holds out of the training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.eval_protocols import PROTOCOLS
from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.datasets.problems import Problems
    from streamseg.datasets.subset import ImageList

__all__ = ["add_held_out_arguments", "check_held_out", "open_held_out"]

SUPPORTED = tuple(name for name, protocol in PROTOCOLS.items() if protocol.folder == "eval-coco")
"""The protocols that measure on labelled images."""


def add_held_out_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--held-out` and `--held-out-source`."""
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="RECIPE",
        help="measure on the images that this training recipe holds out (its key hold_out); its paths are relative to"
        f" --data; for {', '.join(SUPPORTED)}",
    )
    parser.add_argument(
        "--held-out-source",
        metavar="NAME",
        help="use only the recipe's sources with this `source`, such as 'COCO train2017'",
    )


def check_held_out(args: argparse.Namespace, protocols: Sequence[str]) -> None:
    """Check the two arguments against each other and the protocols.

    Raises:
        ConfigError: they cannot be combined.
    """
    if args.held_out is None and args.held_out_source is not None:
        raise ConfigError("--held-out-source needs --held-out RECIPE")
    if args.held_out is not None and not set(protocols) <= set(SUPPORTED):
        raise ConfigError(f"--held-out is for the protocols {', '.join(SUPPORTED)}, got {', '.join(protocols)}")


def open_held_out(args: argparse.Namespace, data: Path, problems: Problems | None) -> ImageList | None:
    """Return the held-out images of `--held-out`, checked; None without this argument.

    Raises:
        ConfigError: the recipe is invalid, or holds nothing out.
        DataError: a source is missing or broken.
    """
    if args.held_out is None:
        return None
    from streamseg.training.held_out import held_out_images

    return held_out_images(args.held_out, data, problems, source=args.held_out_source)
