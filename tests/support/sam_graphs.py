"""ONNX graphs with the signatures of the exporters of SAM's family, whose masks are the boxes that they are asked for.

The encoder returns the mean colour of the image, so that its input can be checked; the decoder fills the box between
the first and the last point, on a grid over the canvas or at the requested size.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from streamseg.tiers.quality.onnx_model import DEFAULT_SIDE
from streamseg.tiers.quality.onnx_variants import Variant

__all__ = ["CANVAS", "GRID", "Signature", "write_pair"]

CANVAS = 64
"""Side of the input of the encoder, pixels."""
GRID = 16
"""Side of the masks over the whole canvas."""


@dataclass(frozen=True)
class Signature:
    """How one exporter writes a pair."""

    variant: Variant
    is_interleaved: bool = False
    """The encoder takes (H, W, 3) RGB 0..255."""
    canvas: tuple[int, int] | None = (CANVAS, CANVAS)
    """(H, W) of the encoder's input; None: dynamic."""
    num_candidates: int = 1
    has_size: bool = False
    """The decoder takes `orig_im_size` and returns masks of that size."""
    is_batched: bool = False
    """The decoder takes several queries at once."""
    embedding_name: str | None = None
    """Name of the encoder's output, if it is not that of the decoder's input."""

    @property
    def side(self) -> int:
        """Side of the square canvas in which the decoder has its coordinates; that of SAM if the input is dynamic."""
        return CANVAS if self.canvas is not None else DEFAULT_SIDE


class _Encoder(nn.Module):
    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.signature = signature

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        pixels = image.permute(2, 0, 1)[None] if self.signature.is_interleaved else image
        mean = pixels.mean(dim=(2, 3)).reshape(1, 3, 1, 1)
        return tuple(mean + 0 * number for number in range(len(self.signature.variant.embeddings)))


class _Decoder(nn.Module):
    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.signature = signature

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        variant = self.signature.variant
        count = len(variant.embeddings)
        coords, labels = tensors[count], tensors[count + 1]
        if variant.is_nested:
            coords, labels = coords[0], labels[0]
        # Embeddings and further inputs must be used, or the exporter removes them.
        ignored = sum(one.float().sum() for one in (*tensors[:count], *tensors[count + 2 :], labels)) * 0
        first, last = coords[:, 0], coords[:, -1]
        if self.signature.has_size:
            height, width = tensors[-1][0].long(), tensors[-1][1].long()
            # EfficientSAM's coordinates are those of this size; SAM's are those of the canvas.
            scale = 1.0 if variant.is_nested else GRID / self.signature.side
        else:
            height = width = torch.tensor(GRID)
            scale = GRID / self.signature.side
        x = torch.arange(width) + 0.5
        y = torch.arange(height) + 0.5
        first, last = first * scale, last * scale
        inside_x = (x >= first[:, :1]) & (x <= last[:, :1])
        inside_y = (y >= first[:, 1:]) & (y <= last[:, 1:])
        inside = inside_y[:, :, None] & inside_x[:, None, :]
        logits = torch.where(inside, 8.0, -8.0)[:, None] + ignored
        number = torch.arange(self.signature.num_candidates, dtype=torch.float32)
        masks = logits.repeat(1, self.signature.num_candidates, 1, 1)
        qualities = (0.5 + 0.1 * number)[None] + 0 * coords[:, :1, 0]
        return (masks[None], qualities[None]) if variant.is_nested else (masks, qualities)


def write_pair(folder: Path, signature: Signature) -> tuple[Path, Path]:
    """Write `encoder.onnx` and `decoder.onnx` into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    variant, canvas = signature.variant, signature.canvas or (48, CANVAS)
    image = torch.zeros(*canvas, 3) if signature.is_interleaved else torch.zeros(1, 3, *canvas)
    first = 0 if signature.is_interleaved else 2
    names = variant.embeddings if signature.embedding_name is None else (signature.embedding_name,)
    axes = {"image": {first: "height", first + 1: "width"}} if signature.canvas is None else {}
    _export(_Encoder(signature), (image,), folder / "encoder.onnx", ("image",), names, axes)
    num = 2 if signature.is_batched else 1
    coords, labels = torch.zeros(num, 2, 2), torch.zeros(num, 2)
    prompts = [coords[None], labels[None]] if variant.is_nested else [coords, labels]
    if variant.has_mask_prompt:
        prompts += [torch.zeros(1, 1, GRID, GRID), torch.zeros(1)]
    inputs = [*variant.inputs]
    if signature.has_size:
        prompts.append(torch.tensor([GRID, GRID], dtype=torch.int64 if variant.is_nested else torch.float32))
        inputs.append("orig_im_size")
    embeddings = [torch.zeros(1, 3, 1, 1) for _ in variant.embeddings]
    axis = 1 if variant.is_nested else 0
    queries = {axis: "num_queries"} if signature.is_batched else {}
    axes = {variant.coords: {**queries, axis + 1: "num_points"}, variant.labels: {**queries, axis + 1: "num_points"}}
    masks = "masks" if signature.has_size and not variant.is_nested else variant.masks[0]
    sized = {axis + 2: "h", axis + 3: "w"} if signature.has_size else {}
    outputs = {masks: {**queries, **sized}, variant.qualities: queries}
    _export(
        _Decoder(signature),
        (*embeddings, *prompts),
        folder / "decoder.onnx",
        inputs,
        list(outputs),
        {**axes, **outputs},
    )
    return folder / "encoder.onnx", folder / "decoder.onnx"


def _export(module, example, path, inputs, outputs, axes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), example, path, dynamo=False, input_names=list(inputs), output_names=list(outputs),
            dynamic_axes=axes, opset_version=17,
        )  # fmt: skip
