"""`streamseg train`: train a network from a recipe, and write its weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from streamseg.training.trainer import Progress, TrainingSettings

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train`."""
    parser = subparsers.add_parser("train", help="train a network on COCO-format folders and the rendered scene")
    parser.add_argument("recipe", type=Path, help="YAML: sources and settings, such as configs/train-default.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints, the log and weights.safetensors"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="torch threads (default: torch's choice)")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose pictures (default %(default)s)")
    parser.add_argument("--stop-after", type=float, default=None, metavar="SECONDS", help="stop early, to be resumed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Train; write `weights.safetensors` (the moving average, half precision) when the run is complete."""
    import math

    import torch

    from streamseg.training.recipe import load_recipe
    from streamseg.training.trainer import Trainer

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if args.device != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"device {args.device!r} is not there; use cpu")
    if not args.resume and (args.out / "last.ckpt").exists():
        raise DataError(f"{args.out} holds a run already; add --resume to go on, or choose another folder")
    recipe = load_recipe(args.recipe)
    settings = _settings(recipe.settings, args.set)
    sources, weights = recipe.open_sources(args.data)
    trainer = Trainer(
        settings, sources, weights, args.out, device=args.device, resume=args.resume, num_workers=args.workers
    )
    complete = trainer.run(_show, stop_after_seconds=math.inf if args.stop_after is None else args.stop_after)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if complete:
        from streamseg.segmentation.weights import save_weights

        path = args.out / "weights.safetensors"
        metadata = {"recipe": args.recipe.name, "steps": str(trainer.step), "size": settings.size}
        save_weights(trainer.average.state_dict(), path, metadata=metadata, half=True)
        print(f"wrote {path} after {trainer.step} steps")
    else:
        print(f"stopped at step {trainer.step} of {settings.num_steps}; go on with --resume")
    return 0


def _settings(values: dict[str, Any], changes: list[str]) -> TrainingSettings:
    import yaml
    from pydantic import TypeAdapter, ValidationError

    from streamseg.training.trainer import TrainingSettings

    merged = dict(values)
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise ConfigError(f"--set needs key=value, got {change!r}, e.g. num_steps=2000")
        merged[key] = yaml.safe_load(text)
    unknown = sorted(merged.keys() - TrainingSettings.__dataclass_fields__.keys())
    if unknown:
        raise ConfigError(
            f"unknown setting {unknown[0]!r}; there are {', '.join(TrainingSettings.__dataclass_fields__)}"
        )
    try:
        return TypeAdapter(TrainingSettings).validate_python(merged)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


def _show(progress: Progress) -> None:
    share = progress.step / progress.num_steps
    bar = ("#" * int(30 * share)).ljust(30, ".")
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    line = f"[{bar}] {progress.step}/{progress.num_steps}  {losses}  {progress.pictures_per_second:.1f} pictures/s"
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
