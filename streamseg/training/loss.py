"""Box, distribution, score and mask losses on the assigned anchors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.modeling.decoding import anchors, expected_sides
from streamseg.modeling.network import PROTOTYPE_STRIDE, Predictions
from streamseg.training.assign import assign
from streamseg.training.batches import Batch
from streamseg.training.ranks import SINGLE_PROCESS, Ranks

__all__ = ["LossParts", "complete_iou", "segmentation_loss"]

BOX_GAIN = 7.5
SCORE_GAIN = 0.5
DISTRIBUTION_GAIN = 1.5
"""Weights of the loss parts, as in YOLOv8."""

MASK_MARGIN = 0.1
"""Margin around the box in which masks are trained (share of its size), so that they end inside, not at its edge."""

MAX_MASKS = 320
"""Maximum anchors per batch whose masks are trained, drawn at random; bounds memory on crowded batches."""


class LossParts(NamedTuple):
    """Weighted scalar losses; training minimises their sum."""

    box: Tensor
    distribution: Tensor
    score: Tensor
    mask: Tensor


def complete_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the CIoU (N,) of box pairs (N, 4) xyxy: above -1.5, 1 for equal boxes (Zheng et al., arXiv 1911.08287)."""
    top_left = torch.maximum(boxes_a[:, :2], boxes_b[:, :2])
    bottom_right = torch.minimum(boxes_a[:, 2:], boxes_b[:, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(dim=1)
    size_a = (boxes_a[:, 2:] - boxes_a[:, :2]).clamp(min=1e-3)
    size_b = (boxes_b[:, 2:] - boxes_b[:, :2]).clamp(min=1e-3)
    iou = intersection / (size_a.prod(dim=1) + size_b.prod(dim=1) - intersection)
    hull = torch.maximum(boxes_a[:, 2:], boxes_b[:, 2:]) - torch.minimum(boxes_a[:, :2], boxes_b[:, :2])
    diagonal = hull.square().sum(dim=1).clamp(min=1e-6)
    offset = (boxes_a[:, :2] + boxes_a[:, 2:] - boxes_b[:, :2] - boxes_b[:, 2:]) / 2
    aspect = (torch.atan(size_a[:, 0] / size_a[:, 1]) - torch.atan(size_b[:, 0] / size_b[:, 1])).square()
    aspect = aspect * (4 / math.pi**2)
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect).clamp(min=1e-6)
    return iou - offset.square().sum(dim=1) / diagonal - weight * aspect


def segmentation_loss(
    predictions: Predictions, batch: Batch, *, rng: torch.Generator, mask_gain: float, ranks: Ranks = SINGLE_PROCESS
) -> LossParts:
    """Return the losses of one batch.

    The mask loss is a mean over anchors; the others are divided by the sum of the positives' target scores. A batch
    without targets trains only the scores. If several processes share a batch, losses are normalised over the whole
    batch; their mean over the processes is the loss of the batch.

    Args:
        predictions: predictions for the images of the batch.
        batch: images and targets.
        rng: draws the anchors whose masks are trained, if there are more than `MAX_MASKS`.
        mask_gain: weight of the mask loss.
        ranks: processes that share the batch.
    """
    centres, strides = anchors(predictions.prototypes.detach())  # (A, 2), (A, 1)
    score_logits = predictions.score_logits.float().amax(dim=1)  # (B, A)
    sides = expected_sides(predictions.box_logits) * strides  # (B, A, 4)
    boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=2)  # (B, A, 4)

    score_target = torch.zeros_like(score_logits)
    image_parts: list[Tensor] = []
    anchor_parts: list[Tensor] = []
    target_parts: list[Tensor] = []
    for index in range(len(batch.images)):
        rows = (batch.image_indices == index).nonzero()[:, 0]
        assigned = assign(score_logits[index].sigmoid(), boxes[index], centres, strides[:, 0], batch.boxes[rows])
        score_target[index, assigned.anchors] = assigned.quality
        image_parts.append(torch.full_like(assigned.anchors, index))
        anchor_parts.append(assigned.anchors)
        target_parts.append(rows[assigned.targets])
    image_indices, positives, targets = map(torch.cat, (image_parts, anchor_parts, target_parts))  # (P,) each
    weight = score_target[image_indices, positives]  # (P,)
    num_masks = min(len(targets), MAX_MASKS)
    sums = ranks.sum(torch.stack([score_target.sum(), score_target.new_tensor(float(num_masks))])) / ranks.count
    total, mask_total = sums[0].clamp(min=1.0 / ranks.count), sums[1]

    score_loss = _score_loss(score_logits, score_target, batch.background_weight, centres) / total
    if not len(targets):
        zero = (predictions.box_logits.sum() + predictions.mask_coefficients.sum() + predictions.prototypes.sum()) * 0
        return LossParts(zero, zero, SCORE_GAIN * score_loss, zero)
    target_boxes = batch.boxes[targets]
    box_loss = ((1 - complete_iou(boxes[image_indices, positives], target_boxes)) * weight).sum() / total
    box_logits = predictions.box_logits[image_indices, :, positives].float()  # (P, 4 * reg_max)
    distribution = _distribution_loss(box_logits, target_boxes, centres[positives], strides[positives])
    distribution_loss = (distribution * weight).sum() / total
    mask_loss = _mask_loss(predictions, batch, image_indices, positives, targets, rng) / mask_total
    return LossParts(
        BOX_GAIN * box_loss, DISTRIBUTION_GAIN * distribution_loss, SCORE_GAIN * score_loss, mask_gain * mask_loss
    )


def _score_loss(logits: Tensor, target: Tensor, background_weight: Tensor, centres: Tensor) -> Tensor:
    """Return the cross entropy; negatives are weighted by the completeness of the labels."""
    cells = (centres / PROTOTYPE_STRIDE).long()
    weight = background_weight[:, cells[:, 1], cells[:, 0]].float() / 255  # (B, A)
    weight = torch.where(target > 0, 1.0, weight)
    return (functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum()


def _distribution_loss(logits: Tensor, boxes: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Return the DFL (P,): cross entropy on the two bins around each side (Li et al., arXiv 2006.04388)."""
    logits = logits.reshape(len(boxes), 4, -1)  # (P, 4, reg_max)
    num_bins = logits.shape[2]
    sides = torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], dim=1) / strides  # (P, 4)
    sides = sides.clamp(0, num_bins - 1.01)
    lower = sides.long()
    share = sides - lower
    log_likelihood = logits.log_softmax(dim=2)  # (P, 4, R)
    at_lower = log_likelihood.gather(2, lower[..., None])[..., 0]
    at_upper = log_likelihood.gather(2, lower[..., None] + 1)[..., 0]
    return -((1 - share) * at_lower + share * at_upper).mean(dim=1)


def _mask_loss(
    predictions: Predictions,
    batch: Batch,
    image_indices: Tensor,
    positives: Tensor,
    targets: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Return cross entropy plus Dice of the assembled masks inside the box and its margin, summed over anchors."""
    if len(targets) > MAX_MASKS:
        keep = torch.randperm(len(targets), generator=rng)[:MAX_MASKS].sort().values.to(targets.device)
        image_indices, positives, targets = image_indices[keep], positives[keep], targets[keep]
    prototypes = predictions.prototypes.float()
    height, width = prototypes.shape[2:]
    coefficients = predictions.mask_coefficients[image_indices, :, positives].float()  # (P, 32)
    # `image_indices` is ascending, so the products are in the same order.
    products = [coefficients[image_indices == index] @ maps.flatten(1) for index, maps in enumerate(prototypes)]
    logits = torch.cat(products).reshape(-1, height, width)  # (P, h, w)
    truth = batch.masks[targets].float() / 255  # (P, h, w)

    boxes = batch.boxes[targets] / PROTOTYPE_STRIDE
    margin = (boxes[:, 2:] - boxes[:, :2]) * MASK_MARGIN + 1
    x = torch.arange(width, device=boxes.device) + 0.5
    y = torch.arange(height, device=boxes.device) + 0.5
    in_x = (x >= (boxes[:, 0] - margin[:, 0])[:, None]) & (x < (boxes[:, 2] + margin[:, 0])[:, None])  # (P, w)
    in_y = (y >= (boxes[:, 1] - margin[:, 1])[:, None]) & (y < (boxes[:, 3] + margin[:, 1])[:, None])  # (P, h)
    window = (in_y[:, :, None] & in_x[:, None, :]).float()  # (P, h, w)

    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * window).sum(dim=(1, 2)) / window.sum(dim=(1, 2)).clamp(min=1)
    probability = logits.sigmoid() * window
    overlap = (probability * truth).sum(dim=(1, 2))
    dice = 1 - (2 * overlap + 1) / (probability.square().sum(dim=(1, 2)) + truth.square().sum(dim=(1, 2)) + 1)
    loss: Tensor = (entropy + dice).sum()
    return loss
