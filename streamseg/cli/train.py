"""`streamseg train`: train a network by a recipe, and write its weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.data_problems import ProblemReport, add_strict_argument
from streamseg.cli.eval_protocols import PROTOCOLS
from streamseg.cli.terminal import LiveLine
from streamseg.cli.training_curves import CURVES, can_draw, draw_curves
from streamseg.cli.training_settings import training_settings
from streamseg.config.sections import device_name
from streamseg.errors import DataError

if TYPE_CHECKING:
    from streamseg.cli.training_data import TrainingData
    from streamseg.modeling.network import Network
    from streamseg.training.recipe import Recipe
    from streamseg.training.trainer import Evaluation, Progress, Trainer
    from streamseg.weights import Weights

__all__ = ["WEIGHTS", "add_parser", "run"]

LOGGERS = ("tensorboard", "mlflow", "wandb")
"""Programs that display training runs: `training.loggers.LOGGERS`, which is not imported for the help."""
WEIGHTS = "weights.safetensors"
"""File name of the weights of a complete run: the moving average in half precision."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on labelled images and the rendered scene",
        description="Train a network, or fine-tune weights. On several GPUs:"
        " torchrun --nproc-per-node N -m streamseg.cli.main train … --device cuda",
    )
    parser.add_argument(
        "recipe",
        type=Path,
        help="YAML file with sources and settings, such as configs/train-default.yaml; or a data set: a COCO- or"
        " SA-1B-format folder, or the data.yaml of a YOLO data set",
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for checkpoints, logs, {CURVES} and {WEIGHTS}")
    parser.add_argument(
        "--weights",
        help="weights to fine-tune: default, a name, or a weights file; they determine the network's size (default:"
        " train from scratch)",
    )
    parser.add_argument(
        "--teacher",
        metavar="WEIGHTS",
        help="weights of a network whose boxes and scores are learnt, too; useful where images are labelled in part",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue from the last checkpoint in --out; repeat the other arguments of the first start",
    )
    parser.add_argument(
        "--device", type=device_name, default="cpu", help="cpu, cuda, cuda:N, or N (default %(default)s)"
    )
    parser.add_argument(
        "--threads", type=_at_least(1), default=None, help="number of torch threads (default: torch's choice)"
    )
    parser.add_argument(
        "--workers", type=_at_least(0), default=1, help="number of processes that compose images (default %(default)s)"
    )
    parser.add_argument(
        "--stop-after", type=float, default=None, metavar="SECONDS", help="stop after this time; continue with --resume"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting of the recipe, e.g. num_steps=2000; repeatable",
    )
    parser.add_argument(
        "--eval",
        type=Path,
        metavar="DATA",
        help="evaluate recall on this COCO-format folder, or the split val of this data.yaml, while training",
    )
    parser.add_argument(
        "--eval-every",
        type=_at_least(1),
        default=1000,
        metavar="STEPS",
        help="steps between evaluations (default %(default)s)",
    )
    parser.add_argument(
        "--log-to",
        action="append",
        default=[],
        choices=LOGGERS,
        help="record the figures with the library of this program, too: TensorBoard in OUT/tensorboard, MLflow in"
        " OUT/mlflow.db or at MLFLOW_TRACKING_URI, Weights & Biases (offline with WANDB_MODE=offline); repeatable",
    )
    parser.add_argument("--eval-limit", type=_at_least(1), metavar="N", help="evaluate on the first N images only")
    add_strict_argument(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write `weights.safetensors` (the moving average in half precision) once the run is complete."""
    import math

    import torch

    from streamseg.cli.training_data import open_training_data
    from streamseg.training.devices import check_device
    from streamseg.training.loggers import RunLoggers
    from streamseg.training.ranks import join_ranks
    from streamseg.training.recipe import load_recipe
    from streamseg.training.trainer import CHECKPOINT, Trainer
    from streamseg.weights import load_weights

    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if not args.resume and (args.out / CHECKPOINT).exists():
        raise DataError(f"{args.out} already contains a run; add --resume to continue it, or choose another folder")
    recipe = load_recipe(args.recipe)
    start = None if args.weights is None else load_weights(args.weights)
    settings = training_settings(recipe.settings, args.set, start)
    with join_ranks(args.device) as (ranks, device):
        data = open_training_data(recipe, args.data, strict=args.strict, is_quiet=not ranks.is_first)
        evaluation = _evaluation(args, recipe, device, is_first=ranks.is_first)
        trainer = Trainer(
            settings,
            data.sources,
            data.weights,
            args.out,
            device=device,
            resume=args.resume,
            num_workers=args.workers,
            initial=None if start is None else start.network(),
            teacher=None if args.teacher is None else load_weights(args.teacher).network(),
            ranks=ranks,
        )
        # Only the first process writes.
        loggers = RunLoggers(args.log_to if ranks.is_first else (), args.out, settings, step=trainer.step)
        with loggers, LiveLine() as line:
            complete = trainer.run(
                lambda progress: _show(progress, line),
                stop_after_seconds=math.inf if args.stop_after is None else args.stop_after,
                evaluation=evaluation,
                on_checkpoint=lambda: _draw(args.out),
                on_skip=data.on_skip,
                on_figures=loggers.log,
            )
        if ranks.is_first:
            data.count_skipped()
            _finish(args, trainer, recipe, start, data, complete=complete)
    return 0


def _finish(
    args: argparse.Namespace,
    trainer: Trainer,
    recipe: Recipe,
    start: Weights | None,
    data: TrainingData,
    *,
    complete: bool,
) -> None:
    from streamseg.cli.refit import measured_fit, refit_command, refit_lines
    from streamseg.training.result import save_result

    if not can_draw():
        print(f"no {CURVES}: it needs matplotlib, which is not installed; run: pip install 'streamseg[train]'")
    if not complete:
        print(f"stopped at step {trainer.step} of {trainer.settings.num_steps}; continue with --resume")
        return
    path = args.out / WEIGHTS
    fit = None if start is None else measured_fit(start, trainer.average, recipe, args.data, data)
    save_result(
        trainer,
        path,
        recipe=args.recipe.name,
        imgsz=recipe.imgsz,
        start=start,
        hold_out=recipe.hold_out,
        fit=fit,
        refit=None if fit is None or fit.fits else refit_command(args),
    )
    print(f"wrote {path} after {trainer.step} steps")
    for line in [] if start is None else refit_lines(args, start, fit):
        print(line)


def _evaluation(args: argparse.Namespace, recipe: Recipe, device: str, *, is_first: bool) -> Evaluation | None:
    """Return the evaluation of recall on the user's folder; None if none is given."""
    if args.eval is None:
        return None
    from streamseg.datasets.check import usable_images
    from streamseg.datasets.problems import Problems
    from streamseg.engines.torch_engine import TorchEngine
    from streamseg.evaluation.proposals import evaluate_proposals
    from streamseg.segmentation import Segmenter
    from streamseg.training.trainer import Evaluation

    # Errors in the data are reported before the training, not after a thousand steps.
    problems = None if args.strict else Problems()
    usable_images(args.eval, problems, limit=args.eval_limit)
    if problems is not None and is_first:
        ProblemReport().count(problems)
    protocol = PROTOCOLS["proposals"]

    def measure(network: Network) -> dict[str, float]:
        engine = TorchEngine(network, device=device)
        with Segmenter(
            engine=engine, imgsz=recipe.imgsz, conf=protocol.conf, iou=protocol.iou, max_det=protocol.max_det
        ) as segmenter:
            scores = evaluate_proposals(segmenter, args.eval, limit=args.eval_limit, problems=problems)
        return {
            "mask AR@100": scores.mask.recall[100],
            "box AR@1000": scores.box.recall[1000],
            "mask AP50": scores.mask.precision_50,
        }

    return Evaluation(measure, args.eval_every)


def _draw(folder: Path) -> None:
    if can_draw():
        draw_curves(folder)


def _at_least(least: int) -> Callable[[str], int]:
    """Return an argument type: an integer of at least this value."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be an integer of at least {least}, got {text!r}")
        return int(text)

    return parse


def _show(progress: Progress, line: LiveLine) -> None:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    line.show(
        f"{progress.step}/{progress.num_steps}  {losses}  {progress.images_per_second:.1f} images/s",
        share=progress.step / progress.num_steps,
    )
