"""Training as in the originals, by the package's own trainer: epochs become steps, `data.yaml` becomes a recipe."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import ConfigError, WeightsError
from streamseg.fastsam.keys import read_keys
from streamseg.fastsam.options import device_name, long_side
from streamseg.fastsam.run_folder import PROJECT, new_run_folder
from streamseg.modeling.network import STRIDES
from streamseg.modeling.sizes import size_name
from streamseg.training.compose import ComposeSettings
from streamseg.training.devices import check_device
from streamseg.training.recipe import Recipe, RecipeSource
from streamseg.training.refit import measure_fit
from streamseg.training.result import save_result
from streamseg.training.settings import TrainingSettings
from streamseg.training.trainer import Progress, Trainer
from streamseg.weights import load_weights

__all__ = ["TrainOptions", "read_train_options", "train_network"]

WEIGHTS = "weights.safetensors"
"""File name of the new weights: the moving average in half precision."""
SETTINGS = {"weight_decay": "weight_decay", "seed": "seed", "amp": "half"}
"""Settings that take an option's value as it is."""
COMPOSE = {"mosaic": "mosaic", "copy_paste": "paste"}
OPTIMIZERS = {"auto": TrainingSettings.optimizer, "adamw": "adamw", "muon": "muon"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training run, with the defaults of the originals.

    Raises:
        ConfigError: a value is out of range.
    """

    epochs: float = 100
    """Number of passes over the images; the number of steps is that of their batches."""
    time: float | None = None
    """Maximum duration in hours."""
    batch: int = 16
    """Images per step."""
    imgsz: int = 640
    """Size of the training images, a multiple of 32 (rounded up), and default input size of the new weights."""
    device: str = "cpu"
    workers: int = 1
    """Processes that compose images; 0: none beside this one."""
    optimizer: str = "auto"
    """`auto`, `AdamW` or `Muon`."""
    lr0: float | None = None
    """Learning rate after the warm-up; None: that of the recipes."""
    lrf: float = 0.01
    """Final learning rate as a share of `lr0`."""
    warmup_epochs: float = 3
    settings: Mapping[str, Any] | None = None
    """Fields of `TrainingSettings` that need no conversion."""
    compose: Mapping[str, Any] | None = None
    """Fields of `ComposeSettings` that need no conversion."""
    pretrained: bool = True
    """False: random weights, in the size of the model."""
    resume: bool = False
    """Continue the run in the folder of `project` and `name`."""
    val: bool = True
    """Measure the new weights at the end."""
    project: str | None = None
    name: str | None = None
    exist_ok: bool = False

    def __post_init__(self) -> None:
        for name, is_right, allowed in (
            ("epochs", 0 < self.epochs < math.inf, "above 0"),
            ("time", self.time is None or 0 < self.time < math.inf, "above 0"),
            ("batch", self.batch >= 1, "1 or more: its size is not chosen automatically here"),
            ("imgsz", 32 <= self.imgsz <= 4096, "32 to 4096"),
            ("workers", self.workers >= 0, "0 or more"),
            ("optimizer", self.optimizer.lower() in OPTIMIZERS, "auto, AdamW or Muon"),
            ("lrf", 0 <= self.lrf < math.inf, "0 or more"),
            ("warmup_epochs", 0 <= self.warmup_epochs < math.inf, "0 or more"),
        ):
            if not is_right:
                raise ConfigError(f"{name} must be {allowed}, got {getattr(self, name)!r}")

    def training_settings(self, size: str, num_images: int) -> TrainingSettings:
        """Return the trainer's settings for a network and a data set.

        Raises:
            ConfigError: a value is not allowed.
        """
        learning_rate = TrainingSettings.learning_rate if self.lr0 is None else self.lr0
        num_steps = max(math.ceil(self.epochs * num_images / self.batch), 1)
        values = {
            "size": size,
            "num_steps": num_steps,
            "batch_size": self.batch,
            "sizes": (-(-self.imgsz // max(STRIDES)) * max(STRIDES),),
            "optimizer": OPTIMIZERS[self.optimizer.lower()],
            "learning_rate": learning_rate,
            "final_learning_rate": learning_rate * self.lrf,
            # At least half of the run is not warm-up.
            "num_warmup_steps": min(round(self.warmup_epochs * num_images / self.batch), num_steps // 2),
            **(self.settings or {}),
        }
        try:
            compose = TypeAdapter(ComposeSettings).validate_python(dict(self.compose or {}))
            return TypeAdapter(TrainingSettings).validate_python({**values, "compose": compose})
        except ValidationError as error:
            problem = error.errors()[0]
            where = "".join(f"{part}: " for part in problem["loc"])
            raise ConfigError(f"{where}{problem['msg'].removeprefix('Value error, ')}") from error


def read_train_options(values: Mapping[str, Any], *, device: str) -> TrainOptions:
    """Return the options of a training run.

    Args:
        values: options by name.
        device: device if none is given.

    Raises:
        ConfigError: an option is unknown or unavailable, or its value is not allowed.
    """
    given = read_keys("train", values)
    if given.ignored:
        _logger.warning("train: %s has no effect here", ", ".join(given.ignored))
    options = dict(given.values)
    if "imgsz" in options:
        options["imgsz"] = long_side(options["imgsz"])
    settings = {ours: options.pop(name) for name, ours in SETTINGS.items() if name in options}
    compose = {ours: options.pop(name) for name, ours in COMPOSE.items() if name in options}
    options["device"] = device_name(options["device"]) if "device" in options else device
    return TrainOptions(**options, settings=settings, compose=compose)


def train_network(
    model: str, data: Path, options: TrainOptions, *, report: Callable[[Progress], None] | None = None
) -> Path:
    """Train on the split `train` of a data set, or on a COCO-format folder, and return the path of the new weights.

    Unusable images and annotations are skipped, and named in the log.

    Args:
        model: weights to start from, a name or a path.
        data: the data set.
        options: the options.
        report: called with the losses every 50 steps; None prints them on standard error.

    Raises:
        ConfigError: a value is not allowed, or the device does not exist.
        DataError: the data set is missing or invalid, or the loss diverges.
        WeightsError: the weights cannot be trained.
    """
    if Path(model).suffix == ".onnx":
        raise WeightsError(f"{model} is a graph; train the .pt or .safetensors file that it was made from")
    check_device(options.device)
    start = load_weights(model)
    network = start.network()
    size = size_name(network.config)
    if size == "custom":
        raise WeightsError(f"{model} has none of the published sizes; train other weights")
    problems = Problems()
    sources, shares = Recipe(sources=(RecipeSource(path=str(data)),)).open_sources(Path(), problems)
    for line in problems.lines():
        _logger.warning("skipped: %s", line)
    settings = options.training_settings(size, len(sources[0]))
    if options.resume:
        folder = Path(options.project or PROJECT) / (options.name or "train")
    else:
        folder = new_run_folder("train", options.project, options.name, exist_ok=options.exist_ok)
    trainer = Trainer(
        settings,
        sources,
        shares,
        folder,
        device=options.device,
        resume=options.resume,
        num_workers=options.workers,
        initial=network if options.pretrained else None,
    )

    def skip(message: str) -> None:
        problem = Problem("image", data, message)
        if problem not in problems:
            _logger.warning("skipped: %s", message)
        problems.add(problem)

    trainer.run(
        _print if report is None else report,
        stop_after_seconds=math.inf if options.time is None else options.time * 3600,
        on_skip=skip,
    )
    path = folder / WEIGHTS
    fit = measure_fit(start, trainer.average, sources, shares, is_held_out=False) if options.pretrained else None
    if fit is not None and not fit.fits:
        _logger.warning("the refiner no longer fits, fit it again with `streamseg refine`: %s", fit.describe())
    origin = start if options.pretrained else None
    save_result(trainer, path, recipe=data.name, imgsz=settings.sizes[0], start=origin, fit=fit)
    return path


def _print(progress: Progress) -> None:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    print(f"{progress.step}/{progress.num_steps}  {losses}", file=sys.stderr, flush=True)
