"""The promptable models of transformers: SAM, HQ-SAM, SAM 2, EdgeTAM and SAM 3's tracker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from streamseg.errors import WeightsError
from streamseg.structures.arrays import ImageArray
from streamseg.tiers.model_folder import (
    load_model,
    model_type,
    normalisation,
    require_transformers,
)
from streamseg.tiers.quality.fits import FitKind, fit_of, grid_over_canvas, resized
from streamseg.tiers.quality.model import Decoded, Embedding, Queries

__all__ = ["FAMILIES", "Family", "TransformersModel", "load_transformers_model"]


@dataclass(frozen=True)
class Family:
    """One family of promptable models in transformers."""

    class_name: str
    fit: FitKind
    embed: Callable[[Any, Tensor], dict[str, Any]]
    """Encodes pixels (1, 3, S, S): the arguments of the model's `forward` in place of the pixels."""


def _embed_sam(model: Any, pixels: Tensor) -> dict[str, Any]:
    return {"image_embeddings": model.get_image_embeddings(pixels)}


def _embed_hq(model: Any, pixels: Tensor) -> dict[str, Any]:
    embeddings, intermediate = model.get_image_embeddings(pixels)
    return {"image_embeddings": embeddings, "intermediate_embeddings": intermediate}


FAMILIES: Final = {
    "sam": Family("SamModel", "pad", _embed_sam),
    "sam_hq": Family("SamHQModel", "pad", _embed_hq),
    "sam2": Family("Sam2Model", "stretch", _embed_sam),
    "sam2_video": Family("Sam2Model", "stretch", _embed_sam),
    "edgetam": Family("EdgeTamModel", "stretch", _embed_sam),
    "edgetam_video": Family("EdgeTamModel", "stretch", _embed_sam),
    "sam3_tracker": Family("Sam3TrackerModel", "stretch", _embed_sam),
    "sam3_video": Family("Sam3TrackerModel", "stretch", _embed_sam),
}
"""Families by `model_type`. The published folders of SAM 2, EdgeTAM and SAM 3 name their video models, which contain
the model of single images."""


class TransformersModel:
    """A promptable model of transformers.

    Args:
        model: a model of one of the families, on its device.
        family: its family.
        name: its name, for messages.
        mean: mean of the normalisation by channel, 0..1.
        std: standard deviation of the same.
    """

    def __init__(
        self, model: Any, family: Family, *, name: str, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        self.name = name
        self.family = family
        self.model = model.eval().requires_grad_(False)
        self.side = input_side(model.config)
        self.mean, self.std = mean, std
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image of any size."""
        fit = fit_of((image.shape[0], image.shape[1]), self.family.fit, self.side)
        pixels = resized(image, fit.inner_size).to(self._device)
        mean, std = (torch.tensor(values, device=self._device).view(3, 1, 1) * 255 for values in (self.mean, self.std))
        values = (pixels - mean) / std
        (height, width), side = fit.inner_size, fit.side
        if (height, width) != (side, side):
            values = torch.nn.functional.pad(values, (0, side - width, 0, side - height))
        return Embedding(self.family.embed(self.model, values), fit)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, queries: Queries) -> Decoded:
        """Decode the masks of N queries at once."""
        coords = torch.from_numpy(embedding.fit.to_canvas(queries.coords)).to(self._device)
        prompts: dict[str, Tensor]
        if queries.are_boxes:
            prompts = {"input_boxes": coords.reshape(1, -1, 4)}
        else:
            labels = torch.from_numpy(queries.labels).to(self._device, torch.int32)
            prompts = {"input_points": coords[None], "input_labels": labels[None]}
        found = self.model(**embedding.tensors, **prompts, multimask_output=not queries.are_boxes)
        logits = np.ascontiguousarray(found.pred_masks[0].float().numpy(force=True))
        height, width = logits.shape[2:]
        qualities = found.iou_scores[0].float().numpy(force=True)
        return Decoded(logits, qualities, grid_over_canvas(embedding.fit, (height, width)))


def input_side(config: Any) -> int:
    """Return the side of the input in pixels: that of the vision encoder, or of the backbone inside it."""
    vision = config.vision_config
    side = getattr(vision, "image_size", None) or getattr(vision.backbone_config, "image_size", None)
    if side is None:
        side = config.prompt_encoder_config.image_size
    return int(side[0]) if isinstance(side, list | tuple) else int(side)


def load_transformers_model(folder: Path, *, device: torch.device) -> TransformersModel:
    """Load a promptable model of transformers from a folder.

    Args:
        folder: folder with `config.json` and `*.safetensors`.
        device: the device to run on.

    Raises:
        ConfigError: transformers is not installed.
        WeightsError: the folder has no promptable model, or it is damaged.
    """
    kind = model_type(folder)
    if kind not in FAMILIES:
        raise WeightsError(
            f"{folder} has a model of type {kind!r}; promptable models are of type {', '.join(FAMILIES)}"
        )
    require_transformers(f"the model in {folder}")
    family = FAMILIES[kind]
    model = load_model(family.class_name, folder, "the model")
    mean, std = normalisation(folder)
    return TransformersModel(model.to(device), family, name=folder.name, mean=mean, std=std)
