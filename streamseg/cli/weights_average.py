"""`streamseg weights average`: average several networks into one."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamseg.cli.named_weights import download_bar
from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.weights import Weights
    from streamseg.weights.catalogue import OfficialWeights

__all__ = ["add_parser", "average"]


def add_parser(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    catalogue: Sequence[OfficialWeights] | None = None,
) -> None:
    """Add `average` to the actions of `weights`; `catalogue` None for the built-in catalogue."""
    action = actions.add_parser(
        "average",
        help="average several networks into one",
        description="Average the weights of networks from one training, or from several trainings with the same start,"
        " tensor by tensor. The mean often generalises better than each of them, at no extra run time"
        " (arXiv 2203.05482). Refiners are not averaged: the mean gets one of them, or none.",
    )
    action.add_argument("sources", nargs="+", metavar="FILE", help="two or more .safetensors or .pt files, or names")
    action.add_argument(
        "--out", type=Path, required=True, metavar="OUT.safetensors", help="output file; an existing file is replaced"
    )
    action.add_argument(
        "--shares", metavar="1,1,2", help="relative weights, one positive number per file (default: equal)"
    )
    action.add_argument(
        "--refiner-of",
        metavar="FILE",
        help="weights file whose refiner the mean gets, or `none` (default: the only refiner among the files)",
    )
    action.add_argument(
        "--imgsz",
        type=int,
        metavar="N",
        help="input size of the mean (default: that of the files, which must agree)",
    )
    action.set_defaults(command=functools.partial(average, catalogue=catalogue))


def average(args: argparse.Namespace, *, catalogue: Sequence[OfficialWeights] | None = None) -> int:
    """Read the weights files and write their mean."""
    from streamseg.weights import load_weights
    from streamseg.weights.average import average_weights, normalised_shares, refiner_source
    from streamseg.weights.catalogue import CATALOGUE

    known = CATALOGUE if catalogue is None else catalogue
    # Checked here as well, so that a mistake is reported before any download.
    shares = normalised_shares(_numbers(args.shares), len(args.sources))
    with download_bar() as progress:
        weights = [load_weights(source, progress=progress, catalogue=known) for source in args.sources]
        refiner_of: Weights | Literal["none"] | None = args.refiner_of
        if args.refiner_of not in (None, "none"):
            refiner_of = load_weights(args.refiner_of, progress=progress, catalogue=known)
    out = average_weights(weights, args.out, shares=shares, refiner_of=refiner_of, imgsz=args.imgsz)
    source = refiner_source(weights, refiner_of)
    parts = " + ".join(f"{share:.3g} x {one.path}" for share, one in zip(shares, weights, strict=True))
    refiner = "without a refiner" if source is None else f"with the refiner of {source.path}"
    print(f"{parts} -> {out} ({out.stat().st_size / 1e6:.1f} MB), {refiner}")
    return 0


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--shares must be numbers separated by commas, such as 1,1,2; got {text[:80]!r}") from error
