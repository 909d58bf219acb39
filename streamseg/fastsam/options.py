"""Keyword options of predictions, as typed values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from streamseg.errors import ConfigError
from streamseg.fastsam.keys import Mode, read_keys
from streamseg.fastsam.saving import Saving

__all__ = ["Options", "device_name", "long_side", "read_options"]


@dataclass(frozen=True)
class Options:
    """Options of a call beside the source and the prompts. Defaults are those of the originals."""

    device: Any = None
    """`cpu`, `cuda`, `cuda:1`, a number or a torch.device; None: the model's device."""
    retina_masks: bool = False
    """True: masks at the size of the image instead of the network's input."""
    imgsz: int | None = None
    """Long side of the network's input in pixels; None: the size that the weights were trained for."""
    conf: float = 0.25
    """Score threshold, 0..1: objects must score higher."""
    iou: float = 0.7
    """IoU threshold of non-maximum suppression, 0..1."""
    max_det: int = 300
    """Maximum number of objects per image."""
    half: bool = False
    """Half precision, on CUDA; without effect on the CPU."""
    vid_stride: int = 1
    """Process every n-th frame of a video."""
    saving: Saving = field(default_factory=Saving)
    """Files that the call writes; none by default."""


def read_options(values: Mapping[str, Any], mode: Mode = "predict") -> Options:
    """Return the options of one call.

    Args:
        values: options by name, beside the source and the prompts.
        mode: `predict` or `track`.

    Raises:
        ConfigError: an option is unknown or unavailable, or its value is not allowed.
    """
    given = dict(read_keys(mode, values).values)
    saving = {one.name: given.pop(one.name) for one in fields(Saving) if one.name in given}
    if "imgsz" in given:
        given["imgsz"] = long_side(given["imgsz"])
    if given.get("vid_stride", 1) < 1:
        raise ConfigError(f"vid_stride must be 1 or more, got {given['vid_stride']}")
    return Options(**given, saving=Saving(**saving))


def device_name(device: Any) -> str:
    """Return the engines' name of a device that is given as in the originals.

    Apple's `mps`, which the official example selects if it is available, becomes the CPU, with a warning.
    """
    if device is None or device in ("", "auto"):
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    name = f"cuda:{device}" if isinstance(device, int) or str(device).isdecimal() else str(device)
    if name.partition(":")[0] == "mps":
        warnings.warn("device mps is not supported; running on the cpu", UserWarning, stacklevel=4)
        return "cpu"
    return "cuda:0" if name == "cuda" else name


def long_side(imgsz: Any) -> int:
    """Return the size of the network's input as one number.

    Raises:
        ConfigError: it is neither a whole number nor the same number twice.
    """
    sides = list(imgsz) if isinstance(imgsz, list | tuple) else [imgsz]
    if not sides or any(isinstance(side, bool) or not isinstance(side, int) for side in sides) or len(set(sides)) > 1:
        raise ConfigError(f"imgsz must be one number, the long side of the network's input in pixels, got {imgsz!r}")
    return int(sides[0])
