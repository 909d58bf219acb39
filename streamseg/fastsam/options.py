"""Keyword options of a call: checked, and rejected if they would be ignored."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from streamseg.errors import ConfigError

__all__ = ["Options", "device_name", "read_options"]

_WITHOUT_EFFECT = frozenset({"agnostic_nms", "batch", "mode", "rect", "stream_buffer", "task", "tracker", "verbose"})
"""Options of the originals that do not change the results here; accepted and ignored."""
_UNAVAILABLE = {
    "augment": "there is no augmentation when predicting",
    "classes": "there is one class",
    "save": "call save(path) of each result",
    "save_crop": "cut orig_img by boxes.xyxy",
    "save_txt": "write to_json() of each result",
    "show": "show the array that plot() of each result gives",
    "visualize": "features are not drawn",
}
"""Options that must be off, with the alternative."""


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


def read_options(values: Mapping[str, Any]) -> Options:
    """Return the options of one call.

    Raises:
        ConfigError: an option is unknown or unavailable, or its value is not allowed.
    """
    known = {field.name for field in fields(Options)}
    for name, value in values.items():
        if name in _UNAVAILABLE and value:
            raise ConfigError(f"{name}={value!r} is not available here: {_UNAVAILABLE[name]}")
        if name not in known and name not in _WITHOUT_EFFECT and name not in _UNAVAILABLE:
            near = difflib.get_close_matches(name, known | {"bboxes", "points", "labels", "texts", "stream"}, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"available options: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown option {name!r}; {hint}")
    # In the originals None means the default.
    given = {name: value for name, value in values.items() if name in known and value is not None}
    if "imgsz" in given:
        given["imgsz"] = _long_side(given["imgsz"])
    if given.get("vid_stride", 1) < 1:
        raise ConfigError(f"vid_stride must be 1 or more, got {given['vid_stride']}")
    return Options(**given)


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


def _long_side(imgsz: Any) -> int:
    sides = list(imgsz) if isinstance(imgsz, list | tuple) else [imgsz]
    if not sides or any(isinstance(side, bool) or not isinstance(side, int) for side in sides) or len(set(sides)) > 1:
        raise ConfigError(f"imgsz must be one number, the long side of the network's input in pixels, got {imgsz!r}")
    return int(sides[0])
