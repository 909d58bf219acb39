"""A model of transformers as a pair of ONNX graphs with the signature that exporters of its family have in common."""

from __future__ import annotations

import json
import secrets
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from streamseg.errors import WeightsError, reason_of
from streamseg.tiers.quality.model import Queries
from streamseg.tiers.quality.onnx_model import OnnxPair
from streamseg.tiers.quality.onnx_variants import VARIANTS, Variant
from streamseg.tiers.quality.transformers_model import TransformersModel

__all__ = ["DECODER", "ENCODER", "ExportedPair", "export_pair"]

ENCODER: Final = "encoder.onnx"
DECODER: Final = "decoder.onnx"
LARGEST_DIFFERENCE: Final = 1e-4
"""Largest difference of a logit or a predicted IoU from torch, relative to the largest logit if that is above 1."""
OPSET: Final = 17

SIGNATURES: Final = {"SamModel": "sam", "SamHQModel": "hq-sam", "Sam2Model": "sam2", "EdgeTamModel": "sam2"}
"""Name of the variant by class in transformers. SAM 3 has features of another form, which no exporter writes."""


@dataclass(frozen=True)
class ExportedPair:
    """The files written."""

    folder: Path
    num_bytes: int
    difference: float
    """Largest difference from torch, see `LARGEST_DIFFERENCE`."""


class _Encoder(nn.Module):
    """Normalised pixels (1, 3, S, S) to the embeddings, as a flat tuple."""

    def __init__(self, source: TransformersModel) -> None:
        super().__init__()
        self.model = source.model
        self._embed = source.family.embed

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        found = self._embed(self.model, pixels)
        embeddings = found["image_embeddings"]
        if "intermediate_embeddings" in found:
            return embeddings, torch.stack(list(found["intermediate_embeddings"]))
        # SAM 2 lists its features from the finest to the coarsest; the coarsest is the embedding proper.
        return (embeddings,) if isinstance(embeddings, Tensor) else (embeddings[-1], *embeddings[:-1])


class _Decoder(nn.Module):
    """Embeddings, points with labels and an optional mask to four masks per query: the single one, and the three."""

    def __init__(self, source: TransformersModel) -> None:
        super().__init__()
        self.model = source.model
        self.is_hq = source.family.class_name == "SamHQModel"
        self.pads = source.family.fit == "stretch"

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        *embeddings, coords, labels, mask, has_mask = tensors
        features = {"image_embeddings": embeddings[0] if len(embeddings) == 1 else [*embeddings[1:], embeddings[0]]}
        if self.is_hq:
            features = {"image_embeddings": embeddings[0], "intermediate_embeddings": list(embeddings[1].unbind(0))}
        masks, qualities = [], []
        for multimask in (False, True):
            found = self._decoded(features, coords[None], labels[None], mask, has_mask, multimask=multimask)
            masks.append(found[0])
            qualities.append(found[1])
        return torch.cat(qualities, dim=1), torch.cat(masks, dim=1)

    def _decoded(
        self,
        features: dict[str, Any],
        coords: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        encoder = self.model.prompt_encoder
        dense = encoder.mask_embed(mask) * has_mask + encoder.no_mask_embed.weight.reshape(1, -1, 1, 1) * (1 - has_mask)
        image_embeddings = features["image_embeddings"]
        is_pyramid = isinstance(image_embeddings, list)
        arguments = {
            "image_embeddings": image_embeddings[-1] if is_pyramid else image_embeddings,
            "image_positional_embeddings": self.model.get_image_wide_positional_embeddings(),
            "sparse_prompt_embeddings": self._sparse(coords, labels),
            "dense_prompt_embeddings": dense,
            "multimask_output": multimask,
        }
        if is_pyramid:
            arguments["high_resolution_features"] = image_embeddings[:-1]
        if self.is_hq:
            arguments |= {
                "hq_token_only": False,
                "intermediate_embeddings": features["intermediate_embeddings"],
                "attention_similarity": None,
                "target_embedding": None,
            }
        masks, qualities = self.model.mask_decoder(**arguments)[:2]
        return masks[0], qualities[0]

    def _sparse(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Embed points (1, N, P, 2) of any label, corners of boxes included; transformers embeds those separately."""
        encoder = self.model.prompt_encoder
        if self.pads:
            coords = nn.functional.pad(coords, (0, 0, 0, 1))
            labels = nn.functional.pad(labels, (0, 1), value=-1)
        size = encoder.input_image_size
        sparse: Tensor = encoder.shared_embedding(coords + 0.5, (size, size))
        sparse = torch.where(labels[..., None] == -1, encoder.not_a_point_embed.weight, sparse)
        weights: Any = encoder.point_embed
        for label in range(4):
            # SAM has a module per label, SAM 2 a row.
            weight: Tensor = weights[label].weight[0] if hasattr(weights, "__getitem__") else weights.weight[label]
            sparse = torch.where(labels[..., None] == label, sparse + weight, sparse)
        return sparse


def export_pair(source: TransformersModel, folder: Path) -> ExportedPair:
    """Write `encoder.onnx` and `decoder.onnx`, atomically, and compare them with torch.

    The normalisation goes into `preprocessor_config.json`, if the folder has none.

    Args:
        source: the model, on the CPU.
        folder: output folder; an existing pair in it is replaced.

    Raises:
        WeightsError: the family has no common signature, the graphs differ from torch, or nothing can be written.
    """
    name = SIGNATURES.get(source.family.class_name)
    if name is None:
        raise WeightsError(
            f"{source.name}: {source.family.class_name} has no common ONNX signature; models that can be exported:"
            f" {', '.join(SIGNATURES)}"
        )
    variant = next(one for one in VARIANTS if one.name == name)
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        beside.mkdir(parents=True)
        try:
            _write_graphs(source, variant, beside)
            difference = _difference(source, beside)
            if not difference <= LARGEST_DIFFERENCE:
                raise WeightsError(
                    f"the graphs of {source.name} differ from torch by {difference:.2g}, more than"
                    f" {LARGEST_DIFFERENCE:g}; nothing was written"
                )
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(beside.iterdir()):
                path.replace(folder / path.name)
            description = folder / "preprocessor_config.json"
            if not description.exists():
                fields = {"image_mean": list(source.mean), "image_std": list(source.std)}
                description.write_text(json.dumps(fields) + "\n", encoding="utf-8")
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise WeightsError(f"cannot write {folder}: {reason_of(error)}") from error
    num_bytes = sum((folder / name).stat().st_size for name in (ENCODER, DECODER))
    return ExportedPair(folder, num_bytes, difference)


def _write_graphs(source: TransformersModel, variant: Variant, folder: Path) -> None:
    pixels = torch.zeros(1, 3, source.side, source.side)
    encoder = _Encoder(source)
    with torch.inference_mode():
        embeddings = encoder(pixels)
    _write(folder / ENCODER, encoder, (pixels,), ("image",), variant.embeddings, {})
    height, width = (int(side) for side in _mask_input_size(source))
    prompts = (
        torch.zeros(2, 2, 2),
        torch.tensor([[2.0, 3.0], [1.0, -1.0]]),
        torch.zeros(1, 1, height, width),
        torch.zeros(1),
    )
    axes = {variant.coords: {0: "num_queries", 1: "num_points"}, variant.labels: {0: "num_queries", 1: "num_points"}}
    outputs = (variant.qualities, variant.masks[0])
    _write(
        folder / DECODER,
        _Decoder(source),
        (*embeddings, *prompts),
        (*variant.embeddings, *variant.prompt_inputs),
        outputs,
        {**axes, **{name: {0: "num_queries"} for name in outputs}},
    )


def _mask_input_size(source: TransformersModel) -> tuple[int, int]:
    """Return the (H, W) of a mask prompt: four times the size of the image embedding."""
    height, width = source.model.prompt_encoder.image_embedding_size
    return 4 * height, 4 * width


def _write(
    path: Path,
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings(), torch.inference_mode():
        # The tracing exporter is deprecated, but requires only onnx; and it warns about every check of a shape.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            path,
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
        )
    graph = onnx.load(path)
    graph.producer_name = "streamseg"
    onnx.save(graph, path)


def _difference(source: TransformersModel, folder: Path) -> float:
    """Return the largest difference of the pair from torch, for an image of noise, boxes and points."""
    pair = OnnxPair(folder / ENCODER, folder / DECODER, mean=source.mean, std=source.std)
    side = source.side
    image = np.random.default_rng(0).integers(0, 256, (side * 3 // 4, side, 3), dtype=np.uint8)
    found, expected = pair.encode(image), source.encode(image)
    largest = 0.0
    boxes = [(side / 8, side / 8, side / 2, side / 2), (0.0, 0.0, float(side), side * 0.75), (3.0, 4.0, 9.0, 12.0)]
    points = np.array([[side / 3, side / 4], [side / 2, side / 2]], dtype=np.float32)
    for queries in (Queries.of_boxes(boxes), Queries.of_points(points)):
        ours, theirs = pair.decode(found, queries), source.decode(expected, queries)
        scale = max(float(np.abs(theirs.logits).max()), 1.0)
        largest = max(
            largest,
            float(np.abs(ours.logits - theirs.logits).max()) / scale,
            float(np.abs(ours.qualities - theirs.qualities).max()),
        )
    return largest
