"""The result of a training run: a weights file with its origin."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from streamseg.modeling.refiner import REFINER_PREFIX
from streamseg.modeling.yolov8 import YoloV8Config
from streamseg.training.refit import RefinerFit, kept_parts
from streamseg.training.trainer import Trainer
from streamseg.weights import Weights, save_weights

__all__ = ["save_result"]


def save_result(
    trainer: Trainer,
    path: Path,
    *,
    recipe: str,
    imgsz: int | None,
    start: Weights | None,
    hold_out: int | None = None,
    fit: RefinerFit | None = None,
    refit: str | None = None,
) -> None:
    """Write the moving average of the network in half precision.

    Fine-tuned weights keep the refiner and the input size of those that they started from. A refiner that makes the
    masks worse is left out.

    Args:
        trainer: the finished run.
        path: the file.
        recipe: name of the recipe or data set, for the metadata.
        imgsz: default input size in pixels, for the metadata; None: that of `start`, or left to the user.
        start: weights that were fine-tuned; None if the run started from random weights.
        hold_out: each N-th image of every source was held out, for the metadata; None if none were.
        fit: how well the refiner of `start` fits; None if it has none, or if that could not be measured.
        refit: command that fits it again, for the metadata, if it does not fit.

    Raises:
        WeightsError: the file cannot be written.
    """
    config = trainer.average.config
    metadata = {"recipe": recipe, "steps": str(trainer.step), "size": trainer.settings.size}
    if isinstance(config, YoloV8Config) and not config.sppf_activation:
        metadata["sppf_activation"] = "false"
    halved = {
        name: one.half() if one.is_floating_point() else one for name, one in trainer.average.state_dict().items()
    }
    refiner: dict[str, Tensor] = {}
    if start is not None:
        metadata |= kept_parts(start)
        metadata["started_from_sha256"] = start.sha256
        if fit is None or fit.gain_after > 0:
            refiner = {name: one for name, one in start.state_dict.items() if name.startswith(REFINER_PREFIX)}
    if fit is not None:
        metadata["refiner_fits"] = f"{'yes' if fit.fits else 'no'}: {fit.describe()}"
    if refit is not None:
        metadata["refit_with"] = refit
    if hold_out is not None:
        metadata["hold_out"] = str(hold_out)
    if imgsz is not None:
        metadata["imgsz"] = str(imgsz)
    save_weights(halved | refiner, path, metadata=metadata)
