"""Options as Ultralytics' users write them: what each is called here, and which have no effect.

One table for the Python interface (`model.train(epochs=3)`) and the command line (`streamseg yolo train epochs=3`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from streamseg.errors import ConfigError

__all__ = ["KEYS", "MODES", "UNAVAILABLE", "WITHOUT_EFFECT", "Given", "Key", "Kind", "Mode", "read_keys"]

Mode = Literal["predict", "track", "val", "train", "export"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
_PREDICT: Final[tuple[Mode, ...]] = ("predict", "track")
_MEASURE: Final[tuple[Mode, ...]] = ("predict", "track", "val")
_WRITE: Final[tuple[Mode, ...]] = ("predict", "track", "train")

Kind = Literal["flag", "integer", "number", "text", "numbers", "any"]
"""Type of a value; `numbers` are one number or a nested list, `any` depends on the option."""


@dataclass(frozen=True)
class Key:
    """One option with an effect."""

    kind: Kind
    modes: tuple[Mode, ...]
    """Modes in which it has an effect; the others ignore it, as in the originals."""
    ours: str
    """The option or setting of streamseg that it becomes."""


KEYS: Final[Mapping[str, Key]] = {
    "source": Key("any", _PREDICT, "INPUT of segment"),
    "data": Key("text", ("val", "train"), "--data of eval, sources of a recipe"),
    "split": Key("text", ("val",), "split of the data set"),
    "device": Key("any", (*_MEASURE, "train"), "--device"),
    "imgsz": Key("numbers", (*_MEASURE, "train"), "--imgsz; training: sizes and imgsz of the recipe"),
    "conf": Key("number", (*_MEASURE, "export"), "--conf"),
    "iou": Key("number", (*_MEASURE, "export"), "--iou"),
    "max_det": Key("integer", (*_MEASURE, "export"), "--max-det"),
    "half": Key("flag", (*_MEASURE, "export"), "--half"),
    "retina_masks": Key("flag", _PREDICT, "--retina"),
    "vid_stride": Key("integer", _PREDICT, "--vid-stride"),
    "bboxes": Key("numbers", ("predict",), "--boxes"),
    "points": Key("numbers", ("predict",), "--points"),
    "labels": Key("numbers", ("predict",), "--labels"),
    "texts": Key("any", ("predict",), "--text"),
    "persist": Key("flag", ("track",), "continue with the identities of the previous call"),
    "save": Key("flag", _PREDICT, "overlays; --no-overlay is save=False"),
    "save_txt": Key("flag", _PREDICT, "a label file in YOLO format per image or frame"),
    "save_conf": Key("flag", _PREDICT, "scores in the label files"),
    "save_crop": Key("flag", _PREDICT, "an image of each object's box"),
    "show_labels": Key("flag", _PREDICT, "names in overlays"),
    "show_conf": Key("flag", _PREDICT, "scores in overlays"),
    "show_boxes": Key("flag", _PREDICT, "boxes in overlays"),
    "line_width": Key("integer", _PREDICT, "line width of the boxes in overlays"),
    "project": Key("text", _WRITE, "--out: PROJECT/NAME"),
    "name": Key("text", _WRITE, "--out: PROJECT/NAME"),
    "exist_ok": Key("flag", _WRITE, "write into an existing folder"),
    "epochs": Key("number", ("train",), "num_steps = epochs * images / batch_size"),
    "time": Key("number", ("train",), "--stop-after, in hours"),
    "batch": Key("integer", ("train",), "batch_size"),
    "workers": Key("integer", ("train",), "--workers"),
    "optimizer": Key("text", ("train",), "optimizer"),
    "lr0": Key("number", ("train",), "learning_rate"),
    "lrf": Key("number", ("train",), "final_learning_rate = lr0 * lrf"),
    "weight_decay": Key("number", ("train",), "weight_decay"),
    "warmup_epochs": Key("number", ("train",), "num_warmup_steps"),
    "mosaic": Key("number", ("train",), "compose.mosaic"),
    "copy_paste": Key("number", ("train",), "compose.paste"),
    "seed": Key("integer", ("train",), "seed"),
    "amp": Key("flag", ("train",), "half"),
    "pretrained": Key("flag", ("train",), "False: train from scratch, in the size of the weights"),
    "resume": Key("flag", ("train",), "--resume"),
    "val": Key("flag", ("train",), "measure the weights on the split val at the end"),
    "format": Key("text", ("export",), "--format"),
    "nms": Key("flag", ("export",), "--nms"),
}
"""Options with an effect, by their name in Ultralytics' interface."""

MAX_SHOWN: Final = 60
"""Characters of a wrong text that an error shows."""

_SILENT: Final = frozenset({"task", "mode", "verbose", "plots", "save", "save_json"})
"""Options that no result depends on; nobody needs to know that they have no effect."""

_IGNORED: Final = """
agnostic_nms auto_augment batch bgr box cache cfg close_mosaic cls compile copy_paste_mode cos_lr crop_fraction cutmix
data degrees deterministic device dfl dnn dropout dynamic erasing fliplr flipud fraction freeze hsv_h hsv_s hsv_v imgsz
int8 keras kobj mask_ratio mixup mode momentum multi_scale nbs opset optimize overlap_mask patience perspective plots
pose profile rect save save_json save_period scale shear simplify single_cls stream_buffer task tracker translate
verbose warmup_bias_lr warmup_momentum workers workspace
"""
WITHOUT_EFFECT: Final = frozenset(_IGNORED.split())
"""Options that are accepted and ignored, beside those of `KEYS` for other modes."""

UNAVAILABLE: Final[Mapping[str, tuple[tuple[Mode, ...], str]]] = {
    "augment": (_MEASURE, "there is no augmentation when predicting"),
    "classes": (MODES, "there is one class"),
    "embed": (_PREDICT, "use streamseg.Segmenter(embeddings=True)"),
    "int8": (("export", "val"), "use streamseg export --int8-calibration FOLDER"),
    "save_frames": (_PREDICT, "save=True writes a video"),
    "show": (_PREDICT, "show the array that plot() of each result gives, or use streamseg run --show"),
    "visualize": (_PREDICT, "features are not drawn"),
}
"""Options that must be off, with the modes in which they would change results, and the alternative."""


@dataclass(frozen=True)
class Given:
    """The options of one call."""

    values: Mapping[str, Any]
    """Values of the right type, without those that are None: the default."""
    ignored: tuple[str, ...]
    """Options that were given but have no effect in this mode, in the order given."""


def read_keys(mode: Mode, values: Mapping[str, Any]) -> Given:
    """Check the options of a call.

    Raises:
        ConfigError: an option is unknown or unavailable, or its value has another type.
    """
    used = [name for name, key in KEYS.items() if mode in key.modes]
    known = {*KEYS, *WITHOUT_EFFECT, *UNAVAILABLE}
    given: dict[str, Any] = {}
    ignored = []
    for name, value in values.items():
        modes, alternative = UNAVAILABLE.get(name, ((), ""))
        if mode in modes and value not in (None, False):
            raise ConfigError(f"{name}={value!r} is not available here: {alternative}")
        if name not in known:
            near = difflib.get_close_matches(name, used, n=1) or difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"available options: {', '.join(sorted(used))}"
            raise ConfigError(f"unknown option {name!r}; {hint}")
        if name not in used:
            if name not in _SILENT and mode not in modes and value is not None:
                ignored.append(name)
        elif value is not None:  # in the originals None means the default
            given[name] = _checked(name, KEYS[name].kind, value)
    return Given(given, tuple(ignored))


def _checked(name: str, kind: Kind, value: Any) -> Any:
    """Return a value as the type of its option."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if kind == "flag":
        if isinstance(value, bool | np.bool_) or (is_number and value in (0, 1)):
            return bool(value)
        expected = "True or False"
    elif kind == "integer":
        if is_number and value == value // 1:
            return int(value)
        expected = "a whole number"
    elif kind == "number":
        if is_number:
            return float(value)
        expected = "a number"
    elif kind == "text":
        if isinstance(value, str | Path) and str(value).strip():
            return str(value)
        expected = "a text"
    elif kind == "numbers" and isinstance(value, str):
        expected = "a number or a list of numbers"
        value = value[:MAX_SHOWN]
    else:
        return value
    raise ConfigError(f"{name} must be {expected}, got {value!r}")
