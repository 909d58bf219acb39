"""Loading of the video models of transformers from a folder of weights."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch

from streamseg.errors import ConfigError, WeightsError
from streamseg.tiers.memory.sessions import SessionVideoModel

__all__ = ["VIDEO_MODELS", "load_video_model", "video_model"]

VIDEO_MODELS: Final = {
    "sam2_video": ("Sam2VideoModel", "Sam2VideoInferenceSession"),
    "edgetam_video": ("EdgeTamVideoModel", "EdgeTamVideoInferenceSession"),
}
"""Names of the classes in transformers by the `model_type` of a folder's `config.json`."""
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


def load_video_model(folder: Path, *, device: torch.device) -> SessionVideoModel:
    """Load a video model; nothing is downloaded and nothing is unpickled.

    Args:
        folder: folder with `config.json` and `*.safetensors`, as published for transformers.
        device: the device to run on.

    Raises:
        ConfigError: transformers is not installed.
        WeightsError: the folder is missing, is no video model, or is damaged.
    """
    kind = _model_type(folder)
    if find_spec("transformers") is None:
        raise ConfigError("following with a video model needs transformers: pip install 'streamseg[tiers]'")
    import transformers

    model_name, _ = VIDEO_MODELS[kind]
    try:
        model = getattr(transformers, model_name).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(f"cannot load the video model in {folder}: {_first_line(error)}") from error
    mean, std = _normalisation(folder)
    return video_model(model.to(device), mean=mean, std=std)


def video_model(
    model: Any, *, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> SessionVideoModel:
    """Return a model of transformers as a video model.

    Args:
        model: a Sam2VideoModel or an EdgeTamVideoModel.
        mean: mean of the normalisation, 3 values 0..1.
        std: standard deviation of the same.
    """
    import transformers

    _, session_name = VIDEO_MODELS[model.config.model_type]
    return SessionVideoModel(model.eval(), getattr(transformers, session_name), mean=mean, std=std)


def _model_type(folder: Path) -> str:
    path = folder / "config.json"
    if not path.is_file():
        raise WeightsError(
            f"{folder} has no config.json; a video model is a folder with config.json and model.safetensors, as published"
            " for transformers"
        )
    kind = _json(path).get("model_type")
    if kind not in VIDEO_MODELS:
        raise WeightsError(
            f"{folder} has a model of type {kind!r}; follow.model must be one of {', '.join(VIDEO_MODELS)}"
        )
    return str(kind)


def _normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation, from the folder's description of the preprocessing if there is one."""
    for name in ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        fields = _json(path)
        fields = fields.get("image_processor", fields)
        mean, std = fields.get("image_mean"), fields.get("image_std")
        if _are_three(mean) and _are_three(std) and all(one > 0 for one in std):
            return tuple(mean), tuple(std)
    return IMAGENET_MEAN, IMAGENET_STD


def _are_three(values: Any) -> bool:
    return isinstance(values, list) and len(values) == 3 and all(isinstance(one, int | float) for one in values)


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {_first_line(error)}") from error
    if not isinstance(fields, dict):
        raise WeightsError(f"{path} must contain a JSON object, got {type(fields).__name__}")
    return fields


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
