"""A folder as an open-vocabulary detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from streamseg.errors import ConfigError, WeightsError
from streamseg.tiers.model_folder import (
    LOAD_ERRORS,
    device_of,
    load_error,
    load_model,
    model_type,
    quiet_loading,
    require_transformers,
)
from streamseg.tiers.words.detector import Detector
from streamseg.tiers.words.grounding import GroundingDino, OmDetTurbo, Sam3Words
from streamseg.tiers.words.yolo_loading import GRAPH_SUFFIX, load_yolo_world
from streamseg.tiers.words.yolo_world import EmbedTexts

__all__ = ["MODEL_TYPES", "load_detector"]

MODEL_TYPES: Final = {
    "omdet-turbo": "OmDetTurboForObjectDetection",
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
    "sam3": "Sam3Model",
    "sam3_video": "Sam3Model",
}
"""Class in transformers by the `model_type` of a folder's `config.json`. The published folder of SAM 3 names its video
model, which contains the model of single images."""
SAM3_SIZE: Final = 1008
"""Side of SAM 3's input in pixels, if the configuration does not state it."""


def load_detector(folder: Path, *, device: str = "auto", embed: Callable[[], EmbedTexts] | None = None) -> Detector:
    """Load a detector; nothing is downloaded and nothing is unpickled.

    Args:
        folder: folder with `config.json`, `*.safetensors` and the tokenizer, as published for transformers; or with one
            ONNX graph of YOLO-World.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        embed: opens the embedding of texts, for graphs of YOLO-World that take it as an input.

    Raises:
        ConfigError: transformers is not installed, or a graph needs embeddings that cannot be computed.
        WeightsError: the folder is missing, has no detector, or is damaged.
        EngineError: the device is not available.
    """
    kind = model_type(folder)
    if kind is None:
        if not any(folder.glob(f"*{GRAPH_SUFFIX}")):
            raise WeightsError(
                f"{folder} has neither config.json nor an .onnx file; text.model must be a folder of a detector as"
                " published for transformers, or of YOLO-World as ONNX"
            )
        chosen = device_of(device)
        return load_yolo_world(folder, device=str(chosen), embed=embed)
    if kind not in MODEL_TYPES:
        raise WeightsError(f"{folder} has a model of type {kind!r}; detectors are of type {', '.join(MODEL_TYPES)}")
    require_transformers(f"the detector in {folder}")
    try:
        with quiet_loading():
            return _from_transformers(folder, kind, device_of(device))
    except LOAD_ERRORS as error:
        if isinstance(error, ConfigError | WeightsError):
            raise
        raise load_error("the detector", folder, error) from error


def _from_transformers(folder: Path, kind: str, device: torch.device) -> Detector:
    import transformers

    options: dict[str, Any] = {"local_files_only": True}
    model = load_model(MODEL_TYPES[kind], folder, "the detector")
    model = model.to(device).eval().requires_grad_(False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    if MODEL_TYPES[kind] == "Sam3Model":
        size = getattr(model.config.vision_config, "image_size", None) or SAM3_SIZE
        return Sam3Words(model, tokenizer, size=int(size))
    processors: Any = transformers.AutoImageProcessor
    image_processor = processors.from_pretrained(folder, **options)
    return (OmDetTurbo if kind == "omdet-turbo" else GroundingDino)(model, image_processor, tokenizer)
