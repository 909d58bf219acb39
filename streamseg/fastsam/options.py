"""The keyword options of a call: read, checked, and refused where they would be ignored."""

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
"""They change nothing about the answers here."""
_UNAVAILABLE = {
    "augment": "there is no augmentation when predicting",
    "classes": "there is one class",
    "save": "call save(path) of each result",
    "save_crop": "cut orig_img by boxes.xyxy",
    "save_txt": "write to_json() of each result",
    "show": "show the array that plot() of each result gives",
    "visualize": "features are not drawn",
}
"""They must be off, and what to do instead."""


@dataclass(frozen=True)
class Options:
    """What a call may say beside the source and the prompts. Defaults are those of the originals."""

    device: Any = None
    """`cpu`, `cuda`, `cuda:1`, a number, a torch.device; None: the model's."""
    retina_masks: bool = False
    """Masks at the picture's size instead of the network input's."""
    imgsz: int | None = None
    """Long side of the network's input in pixels; None: what the weights are made for."""
    conf: float = 0.25
    """Objects score more than this, 0..1."""
    iou: float = 0.7
    """Boxes that overlap a better one by more than this are removed, 0..1."""
    max_det: int = 300
    """The most objects per picture."""
    half: bool = False
    """Half precision, on CUDA; without effect on the CPU."""
    vid_stride: int = 1
    """Of a video every n-th frame."""


def read_options(values: Mapping[str, Any]) -> Options:
    """The options of one call.

    Raises:
        ConfigError: one is unknown, not available, or no such value is allowed.
    """
    known = {field.name for field in fields(Options)}
    for name, value in values.items():
        if name in _UNAVAILABLE and value:
            raise ConfigError(f"{name}={value!r} is not available here: {_UNAVAILABLE[name]}")
        if name not in known and name not in _WITHOUT_EFFECT and name not in _UNAVAILABLE:
            near = difflib.get_close_matches(name, known | {"bboxes", "points", "labels", "texts", "stream"}, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise ConfigError(f"unknown option {name!r}; {hint}")
    # The originals take None for "as usual".
    chosen = {name: value for name, value in values.items() if name in known and value is not None}
    if "imgsz" in chosen:
        chosen["imgsz"] = _long_side(chosen["imgsz"])
    if chosen.get("vid_stride", 1) < 1:
        raise ConfigError(f"vid_stride must be 1 or more, got {chosen['vid_stride']}")
    return Options(**chosen)


def device_name(device: Any) -> str:
    """A device as the originals take it, under the name that engines know.

    Apple's `mps`, which the official example asks for where it is there, becomes the CPU, with a warning.
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
        raise ConfigError(f"imgsz is one number, the long side of the network's input in pixels, got {imgsz!r}")
    return int(sides[0])
