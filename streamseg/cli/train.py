"""`streamseg train`: train a network from a recipe, and write its weights."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from streamseg.training.settings import TrainingSettings
    from streamseg.training.trainer import Progress

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train`."""
    parser = subparsers.add_parser("train", help="train a network on COCO-format folders and the rendered scene")
    parser.add_argument("recipe", type=Path, help="YAML: sources and settings, such as configs/train-default.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints, the log and weights.safetensors"
    )
    parser.add_argument("--weights", help="start from these (fine-tuning): default, a name or a file of weights")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default %(default)s)")
    parser.add_argument("--threads", type=_at_least(1), default=None, help="torch threads (default: torch's choice)")
    parser.add_argument(
        "--workers", type=_at_least(0), default=1, help="processes that compose pictures (default %(default)s)"
    )
    parser.add_argument("--stop-after", type=float, default=None, metavar="SECONDS", help="stop early, to be resumed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Train; write `weights.safetensors` (the moving average, half precision) when the run is complete."""
    import math

    import torch

    from streamseg.segmentation.weights import load_weights, save_weights
    from streamseg.training.recipe import load_recipe
    from streamseg.training.trainer import Trainer

    _check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if not args.resume and (args.out / "last.ckpt").exists():
        raise DataError(f"{args.out} holds a run already; add --resume to go on, or choose another folder")
    recipe = load_recipe(args.recipe)
    settings = _settings(recipe.settings, args.set)
    sources, weights = recipe.open_sources(args.data)
    start = None if args.weights is None else load_weights(args.weights)
    trainer = Trainer(
        settings,
        sources,
        weights,
        args.out,
        device=args.device,
        resume=args.resume,
        num_workers=args.workers,
        initial=None if start is None else start.network(),
    )
    try:
        complete = trainer.run(_show, stop_after_seconds=math.inf if args.stop_after is None else args.stop_after)
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
    if complete:
        path = args.out / "weights.safetensors"
        metadata = {"recipe": args.recipe.name, "steps": str(trainer.step), "size": settings.size}
        if start is not None:
            metadata["started_from_sha256"] = start.sha256
        if recipe.imgsz is not None:
            metadata["imgsz"] = str(recipe.imgsz)
        save_weights(trainer.average.state_dict(), path, metadata=metadata, half=True)
        print(f"wrote {path} after {trainer.step} steps")
    else:
        print(f"stopped at step {trainer.step} of {settings.num_steps}; go on with --resume")
    return 0


def _check_device(device: str) -> None:
    import torch

    if device == "cpu":
        return
    name, _, number = device.partition(":")
    if name != "cuda" or not (number or "0").isdecimal() or int(number or 0) >= torch.cuda.device_count():
        there = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise ConfigError(f"device {device!r} is not there; there are {', '.join(['cpu', *there])}")


def _settings(values: dict[str, Any], changes: list[str]) -> TrainingSettings:
    """The recipe's settings with the changes of the command line; `compose.mosaic=0.5` sets a field of a field."""
    import yaml
    from pydantic import TypeAdapter, ValidationError

    from streamseg.training.compose import ComposeSettings
    from streamseg.training.settings import TrainingSettings

    merged, nested = dict(values), {}
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise ConfigError(f"--set needs key=value, got {change!r}, e.g. num_steps=2000")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from error
        if key.startswith("compose."):
            nested[key.removeprefix("compose.")] = value
        else:
            merged[key] = value
    compose = merged.pop("compose", {})
    if not isinstance(compose, dict):
        raise ConfigError(f"setting compose must hold keys and values, got {compose!r}")
    compose = {**compose, **nested}
    _check_keys(merged, TrainingSettings, "")
    _check_keys(compose, ComposeSettings, "compose.")
    try:
        return TypeAdapter(TrainingSettings).validate_python({**merged, "compose": compose})
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise ConfigError(f"settings: {where}{problem['msg'].removeprefix('Value error, ')}") from error


def _check_keys(values: dict[str, Any], settings: type, prefix: str) -> None:
    known = [field.name for field in dataclasses.fields(settings)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {prefix + near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"unknown setting {prefix + str(key)!r}; {hint}")


def _at_least(least: int) -> Callable[[str], int]:
    """A whole number of the command line that is not less."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return int(text)

    return parse


def _show(progress: Progress) -> None:
    share = progress.step / progress.num_steps
    bar = ("#" * int(30 * share)).ljust(30, ".")
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    line = f"[{bar}] {progress.step}/{progress.num_steps}  {losses}  {progress.pictures_per_second:.1f} pictures/s"
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
