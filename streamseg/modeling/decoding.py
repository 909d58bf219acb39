"""Decode the network's raw predictions at its anchors to boxes and scores. Pure tensor operations.

They run in the torch engine, in the trainer and inside exported graphs, in which batch, height and width are dynamic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from streamseg.modeling.network import PROTOTYPE_STRIDE, STRIDES, Predictions

__all__ = ["Anchors", "DecodedPredictions", "anchors", "decode", "expected_sides"]


class Anchors(NamedTuple):
    """The cells of all levels: P3, then P4, then P5, each in row-major order."""

    centres: Tensor
    """float32 (A, 2) xy, input pixels."""
    strides: Tensor
    """float32 (A, 1), input pixels per cell."""


class DecodedPredictions(NamedTuple):
    """One candidate object per anchor, before thresholds and suppression."""

    boxes: Tensor
    """float32 (B, A, 4) xyxy, continuous input pixels; may reach beyond the input."""
    scores: Tensor
    """float32 (B, A), 0..1; the maximum over the classes."""
    mask_coefficients: Tensor
    """(B, A, num_masks), as predicted by the network."""
    prototypes: Tensor
    """(B, num_masks, H / 4, W / 4), as predicted by the network."""
    embeddings: Tensor | None = None
    """(B, E, H / 8, W / 8), as predicted by the network; None if it predicts none."""


def anchors(prototypes: Tensor, strides: Sequence[int] = STRIDES) -> Anchors:
    """Return the anchors for prototypes (B, num_masks, H / 4, W / 4), on their device."""
    centres, widths = [], []
    for stride in strides:
        # The input size follows from the prototypes, whose shape stays symbolic in an exported graph.
        height = prototypes.shape[2] * PROTOTYPE_STRIDE // stride
        width = prototypes.shape[3] * PROTOTYPE_STRIDE // stride
        y = (torch.arange(height, device=prototypes.device).float() + 0.5) * stride  # (h,)
        x = (torch.arange(width, device=prototypes.device).float() + 0.5) * stride  # (w,)
        cells = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)  # (h * w, 2)
        centres.append(cells)
        widths.append(torch.full_like(cells[:, :1], stride))
    return Anchors(torch.cat(centres), torch.cat(widths))


def expected_sides(box_logits: Tensor) -> Tensor:
    """Return the distances from the anchor to the four sides, each the mean of its distribution over the bins.

    Always computed in float32: in half precision, the sum loses up to half a pixel on the coarsest level.

    Args:
        box_logits: (B, 4 * reg_max, A), the sides in the order left, top, right, bottom.

    Returns:
        float32 (B, A, 4), in cells, 0..reg_max - 1.
    """
    batch, channels, _ = box_logits.shape
    bins = torch.arange(channels // 4, device=box_logits.device).float()  # (reg_max,)
    logits = box_logits.float().transpose(1, 2).reshape(batch, -1, 4, channels // 4)  # (B, A, 4, reg_max)
    return torch.matmul(logits.softmax(dim=-1), bins)


def decode(
    predictions: Predictions, strides: Sequence[int] = STRIDES, *, cells: Anchors | None = None
) -> DecodedPredictions:
    """Compute boxes and scores at every anchor, without thresholds, suppression or clipping.

    `cells` are the anchors of predictions of this shape, if they have been computed before.
    """
    centres, widths = anchors(predictions.prototypes, strides) if cells is None else cells
    sides = expected_sides(predictions.box_logits) * widths  # (B, A, 4)
    boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1)
    scores = predictions.score_logits.float().amax(dim=1).sigmoid()  # (B, A)
    return DecodedPredictions(
        boxes,
        scores,
        predictions.mask_coefficients.transpose(1, 2),
        predictions.prototypes,
        predictions.embeddings,
    )
