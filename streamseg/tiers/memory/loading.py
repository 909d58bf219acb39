"""Loading of the video models of transformers from a folder of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from streamseg.errors import WeightsError
from streamseg.tiers.memory.sessions import SessionVideoModel
from streamseg.tiers.model_folder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_model,
    model_type,
    normalisation,
    require_transformers,
)

__all__ = ["VIDEO_MODELS", "load_video_model", "video_model"]

VIDEO_MODELS: Final = {
    "sam2_video": ("Sam2VideoModel", "Sam2VideoInferenceSession"),
    "edgetam_video": ("EdgeTamVideoModel", "EdgeTamVideoInferenceSession"),
}
"""Names of the classes in transformers by the `model_type` of a folder's `config.json`."""


def load_video_model(folder: Path, *, device: torch.device) -> SessionVideoModel:
    """Load a video model; nothing is downloaded and nothing is unpickled.

    Args:
        folder: folder with `config.json` and `*.safetensors`, as published for transformers.
        device: the device to run on.

    Raises:
        ConfigError: transformers is not installed.
        WeightsError: the folder is missing, is no video model, or is damaged.
    """
    kind = model_type(folder)
    if kind is None:
        raise WeightsError(
            f"{folder} has no config.json; follow.model must be a folder with config.json and model.safetensors, as"
            " published for transformers"
        )
    if kind not in VIDEO_MODELS:
        raise WeightsError(f"{folder} has a model of type {kind!r}; video models are of type {', '.join(VIDEO_MODELS)}")
    require_transformers(f"the video model in {folder}")
    model_name, _ = VIDEO_MODELS[kind]
    model = load_model(model_name, folder, "the video model")
    mean, std = normalisation(folder)
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
    return SessionVideoModel(
        model.eval().requires_grad_(False), getattr(transformers, session_name), mean=mean, std=std
    )
