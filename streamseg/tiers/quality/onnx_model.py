"""A pair of ONNX graphs, encoder and decoder, as a promptable model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.tiers.model_folder import IMAGENET_MEAN, IMAGENET_STD
from streamseg.tiers.quality.fits import Fit, FitKind, fit_of, grid_over_canvas, grid_over_image, resized
from streamseg.tiers.quality.model import Decoded, Embedding, Queries
from streamseg.tiers.quality.onnx_graphs import TYPES, check_points, embedding_outputs, input_of, open_graph
from streamseg.tiers.quality.onnx_variants import Variant, variant_of

__all__ = ["DEFAULT_SIDE", "OnnxPair"]

DEFAULT_SIDE: Final = 1024
"""Long side of the input of a graph whose axes are dynamic."""
PADDING_LABEL: Final = -1
"""Label of a point that is ignored."""
SINGLE_OF_FOUR: Final = 4
"""Number of candidates of a decoder that returns the mask for unambiguous prompts first, and then the three others."""


class OnnxPair:
    """A promptable model of two ONNX graphs.

    Args:
        encoder: path of the graph that encodes images.
        decoder: path of the graph that decodes prompts.
        device: `cpu`, `cuda` or `cuda:1`.
        mean: mean of the normalisation by channel, 0..1, for encoders that do not normalise.
        std: standard deviation of the same.

    Raises:
        WeightsError: a file is missing or no graph, or the two are no pair of a known variant.
        EngineError: ONNX Runtime cannot use the device.
    """

    def __init__(
        self,
        encoder: Path,
        decoder: Path,
        *,
        device: str = "cpu",
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        self.name = encoder.parent.name
        self._decoder = open_graph(decoder, device)
        self._inputs = {port.name: port for port in self._decoder.get_inputs()}
        outputs = [port.name for port in self._decoder.get_outputs()]
        self.variant: Variant = variant_of(self._inputs, outputs, path=decoder)
        check_points(self._inputs[self.variant.coords], self.variant, decoder)
        self._outputs = [next(name for name in self.variant.masks if name in outputs), self.variant.qualities]
        self._encoder = open_graph(encoder, device)
        self._image = self._encoder.get_inputs()[0]
        self._is_interleaved, self._canvas = input_of(self._encoder, encoder)
        self._embeddings = embedding_outputs(self._encoder, self.variant, self._inputs, encoder, decoder)
        self._mean = torch.tensor(mean).view(3, 1, 1) * 255
        self._std = torch.tensor(std).view(3, 1, 1) * 255

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image of any size."""
        size = (image.shape[0], image.shape[1])
        # An encoder of RGB rows and columns pads and normalises itself.
        kind: FitKind = "shrink" if self._is_interleaved else self.variant.fit
        if kind == "shrink" and self._canvas is not None and not self._is_interleaved:
            kind = "stretch"
        fit = fit_of(size, kind, max(self._canvas) if self._canvas is not None else DEFAULT_SIDE)
        if self._canvas is not None and self._is_interleaved:
            fit = _within(fit, self._canvas)
        pixels = resized(image, fit.inner_size)[0]
        if self._is_interleaved:
            values = pixels.permute(1, 2, 0).float()
        elif self.variant.is_plain_rgb:
            values = (pixels.float() / 255)[None]
        else:
            values = ((pixels - self._mean) / self._std)[None]
        values = _padded(values, self._canvas_of(fit), is_interleaved=self._is_interleaved)
        array = np.ascontiguousarray(values.numpy()).astype(_type_of(self._image), copy=False)
        found = self._encoder.run(list(self._embeddings.values()), {self._image.name: array})
        return Embedding(dict(zip(self._embeddings, found, strict=True)), fit)

    def decode(self, embedding: Embedding, queries: Queries) -> Decoded:
        """Decode the masks of N queries: at once if the graph allows it, otherwise one by one."""
        axis = 1 if self.variant.is_nested else 0
        at_once = not isinstance(self._inputs[self.variant.coords].shape[axis], int)
        # A fixed number of queries other than 1 does not occur.
        parts = [queries] if at_once else [queries[n : n + 1] for n in range(len(queries))]
        found = [self._run(embedding, part) for part in parts]
        logits = np.concatenate([logits for logits, _ in found])
        qualities = np.concatenate([qualities for _, qualities in found])
        if logits.shape[1] == SINGLE_OF_FOUR:
            chosen = slice(0, 1) if queries.are_boxes else slice(1, None)
            logits, qualities = logits[:, chosen], qualities[:, chosen]
        covers_image = "orig_im_size" in self._inputs and self._outputs[0] != "low_res_masks"
        grid = grid_over_image if covers_image else grid_over_canvas
        height, width = logits.shape[2:]
        return Decoded(logits, qualities, grid(embedding.fit, (height, width)))

    def _run(self, embedding: Embedding, queries: Queries) -> tuple[Float32Array, Float32Array]:
        """Return the logits (N, M, h, w) and the qualities (N, M) of one run."""
        variant, fit = self.variant, embedding.fit
        coords, labels = fit.to_canvas(queries.coords), queries.labels
        asked = self._mask_size(fit)
        if variant.is_nested:
            # EfficientSAM takes coordinates in the image of `orig_im_size`, and returns its masks at that size.
            coords = coords * np.array([asked[1] / fit.inner_size[1], asked[0] / fit.inner_size[0]], dtype=np.float32)
        if not queries.are_boxes and not variant.pads_prompts:
            # segment-anything's own predictor adds a point without a meaning if there is no box.
            coords = np.concatenate((coords, np.zeros_like(coords[:, :1])), axis=1)
            labels = np.concatenate((labels, np.full_like(labels[:, :1], PADDING_LABEL)), axis=1)
        feeds: dict[str, Any] = {name: embedding.tensors[name] for name in variant.embeddings}
        feeds[variant.coords] = coords[None] if variant.is_nested else coords
        feeds[variant.labels] = labels[None] if variant.is_nested else labels
        if variant.has_mask_prompt:
            feeds["mask_input"] = np.zeros(_mask_prompt_shape(self._inputs["mask_input"], len(queries)))
            length = self._inputs["has_mask_input"].shape[0]
            feeds["has_mask_input"] = np.zeros(length if isinstance(length, int) else len(queries))
        if "orig_im_size" in self._inputs:
            feeds["orig_im_size"] = np.array(asked)
        feeds = {name: np.asarray(value).astype(_type_of(self._inputs[name])) for name, value in feeds.items()}
        logits, qualities = self._decoder.run(self._outputs, feeds)
        if variant.is_nested:
            logits, qualities = logits[0], qualities[0]
        count = len(queries)
        logits = logits.astype(np.float32).reshape(count, -1, *logits.shape[-2:])
        return logits, qualities.astype(np.float32).reshape(count, -1)

    def _mask_size(self, fit: Fit) -> tuple[int, int]:
        """Return the (H, W) of the masks to request: a quarter of the canvas, as the network computes them."""
        height, width = fit.inner_size
        return max(height // 4, 1), max(width // 4, 1)

    def _canvas_of(self, fit: Fit) -> tuple[int, int]:
        """Return the (H, W) of the encoder's input for an image."""
        if self._canvas is not None and (self._is_interleaved or self.variant.fit != "shrink"):
            return self._canvas
        return fit.inner_size if self._is_interleaved or self.variant.fit == "shrink" else (fit.side, fit.side)


def _type_of(port: Any) -> Any:
    return TYPES[port.type]


def _within(fit: Fit, canvas: tuple[int, int]) -> Fit:
    """Return the fit of an image that is shrunk until it lies within a canvas (H, W) that is not square."""
    scale = min(canvas[0] / fit.image_size[0], canvas[1] / fit.image_size[1])
    height, width = (max(int(length * scale + 0.5), 1) for length in fit.image_size)
    return fit._replace(inner_size=(min(height, canvas[0]), min(width, canvas[1])))


def _padded(values: torch.Tensor, size: tuple[int, int], *, is_interleaved: bool) -> torch.Tensor:
    """Return an image (1, 3, h, w) or (h, w, 3) with zeros added at the bottom and right."""
    height, width = values.shape[:2] if is_interleaved else values.shape[2:]
    right, bottom = size[1] - width, size[0] - height
    if not right and not bottom:
        return values
    return torch.nn.functional.pad(values, (*((0, 0) if is_interleaved else ()), 0, right, 0, bottom))


def _mask_prompt_shape(port: Any, num_queries: int) -> tuple[int, ...]:
    """Return the shape of an empty mask prompt, (1 or N, 1, h, w)."""
    batch, _, height, width = port.shape
    count = batch if isinstance(batch, int) else num_queries
    return count, 1, *(side if isinstance(side, int) else DEFAULT_SIDE // 4 for side in (height, width))
