"""Task-aligned assignment of anchors to targets (TOOD, Feng et al., arXiv 2108.07755)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from streamseg.geometry import box_iou

__all__ = ["Assignment", "assign"]

SCORE_POWER = 0.5
IOU_POWER = 6.0
NUM_ANCHORS = 10
"""TOOD's alpha, beta and top-k, with the values of YOLOv8."""


class Assignment(NamedTuple):
    """P positive anchors of one image."""

    anchors: Tensor
    """int64 (P,): anchor indices."""
    targets: Tensor
    """int64 (P,): index of the target assigned to each anchor."""
    quality: Tensor
    """float (P,): score that each anchor should predict, 0..1."""


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, centres: Tensor, strides: Tensor, target_boxes: Tensor) -> Assignment:
    """Assign to each target the anchors that fit it best by score and IoU.

    Args:
        scores: (A,) predicted, 0..1.
        boxes: (A, 4) predicted, xyxy, pixels.
        centres: (A, 2) anchor centres, pixels.
        strides: (A,) pixels per cell of each anchor's level.
        target_boxes: (N, 4) xyxy, pixels; N may be 0.

    Returns:
        The positive anchors. Each is assigned to a single target: the one it overlaps most.
    """
    num_targets = len(target_boxes)
    if num_targets == 0:
        none = torch.zeros(0, dtype=torch.int64, device=boxes.device)
        return Assignment(none, none, boxes.new_zeros(0))
    # A target smaller than a cell may contain no anchor centre: widen it to slightly more than one cell of the finest
    # level. The margin covers targets whose centre lies exactly between cells.
    finest = strides.min() * 1.002
    centre = (target_boxes[:, :2] + target_boxes[:, 2:]) / 2  # (N, 2)
    half = ((target_boxes[:, 2:] - target_boxes[:, :2]) / 2).clamp(min=finest / 2)  # (N, 2)
    inside = ((centres[None] - centre[:, None]).abs() < half[:, None]).all(dim=2)  # (N, A)

    iou = box_iou(target_boxes, boxes)  # (N, A)
    alignment = scores[None].pow(SCORE_POWER) * iou.pow(IOU_POWER) * inside  # (N, A)
    best, anchors = alignment.topk(min(NUM_ANCHORS, boxes.shape[0]), dim=1)  # (N, k)
    chosen = torch.zeros_like(inside).scatter_(1, anchors, best > 0)  # (N, A)
    # Even before any prediction overlaps it, each target needs an anchor: the nearest centre inside.
    unmatched = ~chosen.any(dim=1)
    distance = torch.where(inside, (centres[None] - centre[:, None]).norm(dim=2), torch.inf)  # (N, A)
    nearest = distance.argmin(dim=1)  # (N,)
    chosen[unmatched, nearest[unmatched]] = inside[unmatched, nearest[unmatched]]

    # Keep one target per anchor: the one it overlaps most.
    owner = torch.where(chosen, iou, -1.0).argmax(dim=0)  # (A,)
    positive = chosen.any(dim=0).nonzero()[:, 0]  # (P,)
    targets = owner[positive]
    aligned = alignment[targets, positive]
    top_alignment = boxes.new_zeros(num_targets).scatter_reduce(0, targets, aligned, "amax")
    top_iou = boxes.new_zeros(num_targets).scatter_reduce(0, targets, iou[targets, positive], "amax")
    quality = aligned / top_alignment[targets].clamp(min=torch.finfo(aligned.dtype).tiny) * top_iou[targets]
    return Assignment(positive, targets, quality)
