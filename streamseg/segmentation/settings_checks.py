"""Settings of a segmenter that are out of range, or that an engine does not support."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamseg.engines import Engine
from streamseg.errors import ConfigError, EngineError
from streamseg.modeling.network import STRIDES

__all__ = ["check_engine", "check_ranges"]

_LIMITS: Final = {
    "imgsz": (32, 4096),
    "conf": (0, 1),
    "iou": (0, 1),
    "max_det": (1, 3000),
    "expected_conf": (0, 1),
    "max_close_ups": (0, 1000),
    "max_followed_close_ups": (0, 1000),
}


def check_ranges(settings: Mapping[str, float | None]) -> None:
    """Raise ConfigError if a setting is out of range; None is allowed."""
    for name, value in settings.items():
        low, high = _LIMITS[name]
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} must be {low}..{high}, got {value}")


def check_engine(engine: Engine, *, imgsz: int, conf: float, iou: float, masks: str, scores: str) -> None:
    """Check what only the engine can tell; see `Segmenter` for the settings.

    Raises:
        EngineError: the graph takes other sizes, or removes objects that are wanted.
        ConfigError: there is no refiner for sharp masks or calibrated scores.
    """
    only = engine.input_size
    if only is not None and -(-imgsz // max(STRIDES)) * max(STRIDES) != max(only):
        raise EngineError(
            f"imgsz {imgsz} contradicts this graph, which takes images of {only[0]}x{only[1]} (H x W) only; "
            "omit imgsz, or export the graph with dynamic axes"
        )
    inside = engine.suppression
    if inside is not None and (conf < inside.conf or iou > inside.iou):
        raise EngineError(
            f"conf {conf:g} and iou {iou:g} would include objects that this graph removes with its conf "
            f"{inside.conf:g} and iou {inside.iou:g}; use no lower conf and no higher iou, or export it again"
        )
    wanted = [f"masks {masks}"] * (masks == "sharp") + [f"scores {scores}"] * (scores == "calibrated")
    if wanted and engine.refiner is None:
        raise ConfigError(
            f"{' and '.join(wanted)} require a refiner, which these weights do not include; use auto, or train one "
            "with `streamseg refine`"
        )
