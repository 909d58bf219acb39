"""Options of the quality tier for single images, and the everything mode of its models."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.tiers import Tiers
    from streamseg.tiers.quality.everything import GridSegmenter

__all__ = ["add_grid_arguments", "add_quality_argument", "open_grid", "open_image_tiers"]

QUALITY_HELP = (
    "better masks from a model of SAM's family: a name of `streamseg weights list`, or a folder with encoder.onnx and"
    " decoder.onnx or with weights of transformers"
)


def add_quality_argument(parser: argparse.ArgumentParser, remark: str = "") -> None:
    """Add `--quality`."""
    parser.add_argument("--quality", metavar="NAME|FOLDER", help=QUALITY_HELP + remark)


def add_grid_arguments(parser: argparse.ArgumentParser, flag: str, text: str) -> None:
    """Add the options of the everything mode of a promptable model.

    Args:
        parser: the parser to extend.
        flag: the flag that names the model.
        text: its help.
    """
    group = parser.add_argument_group("everything mode of a model of SAM's family")
    group.add_argument(flag, metavar="NAME|FOLDER", help=text)
    group.add_argument(
        "--points-per-side", type=int, metavar="N", help="points per side of the grid, 1 to 256 (default 32)"
    )
    group.add_argument("--min-iou", type=float, metavar="X", help="minimum predicted IoU, 0 to 1 (default 0.88)")
    group.add_argument("--min-stability", type=float, metavar="X", help="minimum stability, 0 to 1 (default 0.95)")


def open_grid(name: str, args: argparse.Namespace, *, device: str) -> GridSegmenter:
    """Load a promptable model for its everything mode.

    Raises:
        ConfigError: an option is out of range, or the model is unknown.
        WeightsError, EngineError: see `load_promptable`.
    """
    points = 32 if args.points_per_side is None else args.points_per_side
    if not 1 <= points <= 256:
        raise ConfigError(f"--points-per-side must be 1 to 256, got {points}")
    limits = {"--min-iou": args.min_iou, "--min-stability": args.min_stability}
    for flag, value in limits.items():
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{flag} must be 0 to 1, got {value:g}")

    from streamseg.tiers.catalogue import find_model_path
    from streamseg.tiers.quality.everything import GridSegmenter
    from streamseg.tiers.quality.loading import load_promptable

    model = load_promptable(find_model_path(name, "quality", "the model"), device=device)
    given = {"min_quality": args.min_iou, "min_stability": args.min_stability}
    thresholds = {key: value for key, value in given.items() if value is not None}
    return GridSegmenter(model, points_per_side=points, **thresholds)


def open_image_tiers(name: str | None, mode: str, device: str) -> Tiers | None:
    """Load the quality tier for single images: every selected object, at any cost. None without a name.

    Raises:
        ConfigError: the model is unknown, or the mode has its own masks.
        WeightsError, EngineError: see `load_promptable`.
    """
    if name is None:
        return None
    if mode != "streamseg":
        raise ConfigError("--quality requires --mode streamseg, because fastsam has the masks of FastSAM")

    from streamseg.config import Config, QualityConfig
    from streamseg.tiers.opening import open_tiers

    return open_tiers(
        Config(quality=QualityConfig(model=name, objects="all", device=device.replace("tensorrt", "cuda")))
    )
