"""The result of a training run: a weights file with its origin."""

from __future__ import annotations

from pathlib import Path

from streamseg.modeling.yolov8 import YoloV8Config
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
) -> None:
    """Write the moving average of the network in half precision.

    Args:
        trainer: the finished run.
        path: the file.
        recipe: name of the recipe or data set, for the metadata.
        imgsz: default input size in pixels, for the metadata; None leaves it to the user.
        start: weights that were fine-tuned; None if the run started from random weights.
        hold_out: each N-th image of every source was held out, for the metadata; None if none were.

    Raises:
        WeightsError: the file cannot be written.
    """
    config = trainer.average.config
    metadata = {"recipe": recipe, "steps": str(trainer.step), "size": trainer.settings.size}
    if isinstance(config, YoloV8Config) and not config.sppf_activation:
        metadata["sppf_activation"] = "false"
    if start is not None:
        metadata["started_from_sha256"] = start.sha256
    if hold_out is not None:
        metadata["hold_out"] = str(hold_out)
    if imgsz is not None:
        metadata["imgsz"] = str(imgsz)
    save_weights(trainer.average.state_dict(), path, metadata=metadata, half=True)
