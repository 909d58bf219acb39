"""What must be fitted again after weights were fine-tuned, with the commands that do it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.errors import DataError

if TYPE_CHECKING:
    from streamseg.cli.training_data import TrainingData
    from streamseg.modeling.network import Network
    from streamseg.training.recipe import Recipe
    from streamseg.training.refit import RefinerFit
    from streamseg.weights import Weights

__all__ = ["measured_fit", "refit_command", "refit_lines"]


def measured_fit(
    start: Weights, network: Network, recipe: Recipe, data_folder: Path, data: TrainingData
) -> RefinerFit | None:
    """Measure whether the refiner of `start` still fits, on the recipe's held-out images, or on the training images.

    Returns:
        The figures; None without a refiner, or without objects to measure on.
    """
    from streamseg.datasets.problems import Problems
    from streamseg.training.refit import measure_fit

    if start.refiner() is None:
        return None
    subset = recipe.subset(is_held_out=True)
    if subset is not None and recipe.sources:
        try:
            held_out = [one.open(data_folder, Problems(), subset=subset) for one in recipe.sources]
        except DataError:
            held_out = []  # a source is too small to have held-out images
        if held_out:
            weights = [one.weight for one in recipe.sources]
            return measure_fit(start, network, held_out, weights, is_held_out=True)
    return measure_fit(start, network, data.sources, data.weights, is_held_out=False)


def refit_command(args: argparse.Namespace) -> str:
    """Return the command that fits the refiner to the result of `train` with these arguments."""
    return _command(args, "refine", "--earlier", str(args.weights), out="refined.safetensors")


def refit_lines(args: argparse.Namespace, start: Weights, fit: RefinerFit | None) -> list[str]:
    """Return one line for each part of the start that fine-tuning keeps or cannot keep.

    Args:
        args: arguments of `train`.
        start: the weights that were fine-tuned.
        fit: how well their refiner fits; None if it could not be measured.
    """
    lines = []
    if fit is not None:
        if fit.fits:
            lines.append(f"the refiner is kept and fits: {fit.describe()}")
        else:
            kept = "is kept, but no longer fits" if fit.gain_after > 0 else "makes masks worse and was left out"
            lines += [f"the refiner {kept}: {fit.describe()}", f"fit it again: {refit_command(args)}"]
    elif start.refiner() is not None:
        lines.append(
            f"the refiner is kept; whether it fits could not be measured. Fit it again with: {refit_command(args)}"
        )
    if any(name.startswith("embedding.") for name in start.state_dict):
        command = _command(args, "embed", out="embedded.safetensors")
        lines.append(f"the embedding, by which masks are propagated, was not trained; if following suffers: {command}")
    if _has_int8_graph(start):
        weights = shlex.quote(str(args.out / "weights.safetensors"))
        lines.append(
            f"the 8-bit graph belongs to {args.weights}; for a new one:"
            f" streamseg quantize --weights {weights} --images FOLDER --check DATA"
        )
    return lines


def _command(args: argparse.Namespace, name: str, *options: str, out: str) -> str:
    data = ["--data", str(args.data)] if args.data != Path() else []
    weights = ["--weights", str(args.out / "weights.safetensors")]
    return shlex.join(["streamseg", name, str(args.recipe), *data, *weights, *options, "--out", str(args.out / out)])


def _has_int8_graph(start: Weights) -> bool:
    from streamseg.engines.int8_graphs import int8_paths

    return any(path.is_file() for path in int8_paths(start))
