"""From what the network says at its anchors to boxes and scores. Pure tensor operations.

They run in the torch engine, in the trainer, and inside exported graphs, where batch, height and width
stay free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from streamseg.modeling.network import PROTOTYPE_STRIDE, STRIDES, Predictions

__all__ = ["Anchors", "Decoded", "anchors", "decode", "expected_sides"]


class Anchors(NamedTuple):
    """The cells of all levels, one after the other, each row by row."""

    centres: Tensor
    """float32 (A, 2) xy, input pixels."""
    strides: Tensor
    """float32 (A, 1), input pixels per cell."""


class DecodedPredictions(NamedTuple):
    """Every anchor's object, before any choice among them."""

    boxes: Tensor
    """float32 (B, A, 4) xyxy, continuous input pixels; may reach beyond the input."""
    scores: Tensor
    """float32 (B, A), 0..1; of several classes the best one's."""
    mask_coefficients: Tensor
    """(B, A, num_masks), as the network gave them."""
    prototypes: Tensor
    """(B, num_masks, H / 4, W / 4), as the network gave them."""


def anchors(prototypes: Tensor, strides: Sequence[int] = STRIDES) -> Anchors:
    """The anchors that belong to prototypes (B, num_masks, H / 4, W / 4), on their device."""
    centres, widths = [], []
    for stride in strides:
        # The prototypes say how large the input was; their shape stays symbolic in an exported graph.
        height = prototypes.shape[2] * PROTOTYPE_STRIDE // stride
        width = prototypes.shape[3] * PROTOTYPE_STRIDE // stride
        y = (torch.arange(height, device=prototypes.device).float() + 0.5) * stride  # (h,)
        x = (torch.arange(width, device=prototypes.device).float() + 0.5) * stride  # (w,)
        cells = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)  # (h * w, 2)
        centres.append(cells)
        widths.append(torch.full_like(cells[:, :1], stride))
    return Anchors(torch.cat(centres), torch.cat(widths))


def expected_sides(box_logits: Tensor) -> Tensor:
    """Distances from the anchor to the four sides: each the mean of its distribution over the bins.

    Always in float32: in half precision the sum loses up to half a pixel on the coarsest level.

    Args:
        box_logits: (B, 4 * reg_max, A), the sides in the order left, top, right, bottom.

    Returns:
        float32 (B, A, 4), in cells, 0..reg_max - 1.
    """
    batch, channels, _ = box_logits.shape
    bins = torch.arange(channels // 4, device=box_logits.device).float()  # (reg_max,)
    logits = box_logits.float().transpose(1, 2).reshape(batch, -1, 4, channels // 4)  # (B, A, 4, reg_max)
    return torch.matmul(logits.softmax(dim=-1), bins)


def decode(predictions: Predictions, strides: Sequence[int] = STRIDES) -> DecodedPredictions:
    """Boxes and scores at every anchor; nothing is thresholded, suppressed or clipped."""
    centres, widths = anchors(predictions.prototypes, strides)
    sides = expected_sides(predictions.box_logits) * widths  # (B, A, 4)
    boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1)
    scores = predictions.score_logits.float().amax(dim=1).sigmoid()  # (B, A)
    return DecodedPredictions(boxes, scores, predictions.mask_coefficients.transpose(1, 2), predictions.prototypes)
