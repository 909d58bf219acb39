"""Training of a refiner on top of finished weights, which remain unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from streamseg.modeling.refiner import ObjectViews, Refiner, RefinerOutput, calibrated_scores, product_logits
from streamseg.structures.arrays import Float64Array
from streamseg.training.refiner_examples import MASK_IOU, NEAR_IOU, RefinerExamples, RefineSettings

__all__ = ["held_out_figures", "mask_ious", "refine_losses", "train_refiner"]

OUTLINE_GAIN, SMALL_GAIN = 2.0, 3.0
"""Additional loss weight of cells at the outline, and of small objects."""

SMALL_SIDE_PX = 32.0
"""Objects are small below this square root of the box area, in pixels of the network's input."""


def train_refiner(
    examples: RefinerExamples,
    num_training: int,
    settings: RefineSettings,
    *,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, num_steps, losses: None,
) -> Refiner:
    """Train a refiner on the first `num_training` examples, and calibrate it on the others."""
    torch.manual_seed(settings.seed)
    refiner = Refiner(examples.views.maps.shape[1], settings.width)
    optimizer = torch.optim.AdamW(refiner.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    num_steps = settings.num_steps(num_training)
    rng = torch.Generator().manual_seed(settings.seed)
    for step in range(num_steps):
        cosine = (1 + math.cos(math.pi * step / num_steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (step + 1) / 50) * (cosine + 1e-3)
        rows = torch.randint(num_training, (settings.batch_size,), generator=rng)
        batch = examples[rows]
        flip = bool(torch.rand((), generator=rng) < 0.5)
        losses = refine_losses(refiner, _flipped(batch) if flip else batch)
        total = losses["mask"] + settings.quality_gain * losses["quality"]
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(step + 1, num_steps, {name: float(value.detach()) for name, value in losses.items()})
    refiner.eval().requires_grad_(False)
    held_out = torch.arange(num_training, len(examples))
    refiner.calibration.copy_(_calibration(refiner, examples[held_out], settings.quality_exponent))
    return refiner


def refine_losses(refiner: Refiner, examples: RefinerExamples) -> dict[str, Tensor]:
    """Return cross entropy plus Dice of the corrected masks, and the cross entropy of the predicted IoU.

    Outlines weigh more than interiors, and small objects more than others. A detection near no target counts as no
    object, weighted by the completeness of the labels.
    """
    refined, logits = _refine(refiner, examples)
    truth = examples.truth.float() / 255
    is_small = (examples.views.sides < SMALL_SIDE_PX).float()  # (N,)
    gain = (examples.box_iou >= MASK_IOU) * (1 + SMALL_GAIN * is_small)  # (N,)
    cells = 1 + OUTLINE_GAIN * _outline(truth > 0.5)  # (N, R, R)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * cells).sum(dim=(1, 2)) / cells.sum(dim=(1, 2))
    probability = logits.sigmoid()
    overlap = (probability * truth).sum(dim=(1, 2))
    dice = 1 - (2 * overlap + 1) / (probability.square().sum(dim=(1, 2)) + truth.square().sum(dim=(1, 2)) + 1)
    mask = ((entropy + dice) * gain).sum() / gain.sum().clamp(min=1)
    target_iou = _raster_iou(logits.detach(), examples)
    quality = functional.binary_cross_entropy_with_logits(refined.quality, target_iou, reduction="none")
    certainty = _certainty(examples)
    return {"mask": mask, "quality": (quality * certainty).sum() / certainty.sum().clamp(min=1)}


def _certainty(examples: RefinerExamples) -> Tensor:
    """Return the certainty of each IoU, (N,) 0..1: a detection near no target may be an unlabelled object."""
    return torch.where(examples.box_iou > NEAR_IOU, 1.0, examples.completeness)


def _outline(truth: Tensor) -> Tensor:
    """Return float (N, R, R): 1 within two cells of the border of the masks (N, R, R), else 0."""
    inside = truth.float()[:, None]
    around = functional.max_pool2d(inside, 5, 1, 2) + functional.max_pool2d(-inside, 5, 1, 2)
    return around[:, 0]


def _refine(refiner: Refiner, examples: RefinerExamples) -> tuple[RefinerOutput, Tensor]:
    """Return the output of the refiner and the corrected logits (N, R, R)."""
    stored = examples.views
    views = ObjectViews(stored.logits.float(), refiner.project(stored.maps.float()), stored.pixels, stored.sides)
    refined: RefinerOutput = refiner(views)
    return refined, views.logits + refined.corrections


def _raster_iou(logits: Tensor, examples: RefinerExamples) -> Tensor:
    """Return the IoU (N,) of masks with their whole targets at raster resolution: a part of a target scores low."""
    inside, truth = logits > 0, examples.truth > 127
    union = ((inside | truth).sum(dim=(1, 2)) + examples.outside).clamp(min=1)
    return (inside & truth).sum(dim=(1, 2)) / union


@torch.inference_mode()
def _refine_in_batches(
    refiner: Refiner, examples: RefinerExamples, *, batch_size: int = 512
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the quality logits and the IoU of the corrected masks, batch by batch."""
    for first in range(0, len(examples), batch_size):
        part = torch.arange(first, min(first + batch_size, len(examples)))
        refined, logits = _refine(refiner, examples[part])
        yield refined.quality, _raster_iou(logits, examples[part])


def _calibration(refiner: Refiner, held_out: RefinerExamples, exponent: float) -> Tensor:
    """Return the calibration (3,): a logistic regression of the IoU on the logit of score x quality^exponent.

    Detections near no target are weighted by the completeness of the labels: with full weight, the many unlabelled
    objects would reduce the expected IoU of all others.
    """
    quality, iou = (torch.cat(values) for values in zip(*_refine_in_batches(refiner, held_out), strict=True))
    product, target_iou = product_logits(held_out.scores, quality, exponent).double(), iou.double()
    certainty = _certainty(held_out).double()

    def cost(slope_and_constant: Float64Array) -> float:
        logits = slope_and_constant[0] * product + slope_and_constant[1]
        entropy = functional.binary_cross_entropy_with_logits(logits, target_iou, reduction="none")
        return float((entropy * certainty).sum() / certainty.sum().clamp(min=1))

    return torch.from_numpy(np.append(minimize(cost, np.array([0.5, 0.0])).x, exponent)).float()


def _flipped(examples: RefinerExamples) -> RefinerExamples:
    """Return the examples mirrored horizontally."""
    stored = examples.views
    mirrored = ObjectViews(stored.logits.flip(2), stored.maps.flip(3), stored.pixels.flip(2), stored.sides)
    return replace(examples, views=mirrored, truth=examples.truth.flip(2))


def mask_ious(refiner: Refiner, examples: RefinerExamples) -> tuple[float, float, int]:
    """Return the mean IoU of the masks that match a target, plain and refined, and their number; nan without any."""
    refined = torch.cat([iou for _, iou in _refine_in_batches(refiner, examples)])
    plain = _raster_iou(examples.views.logits.float(), examples)
    targets = examples.box_iou >= MASK_IOU
    return float(plain[targets].mean()), float(refined[targets].mean()), int(targets.sum())


def held_out_figures(refiner: Refiner, held_out: RefinerExamples) -> dict[str, float]:
    """Evaluate a refiner: mean IoU of targets before and after, and Spearman correlation of scores with IoU."""
    quality, iou = (torch.cat(values) for values in zip(*_refine_in_batches(refiner, held_out), strict=True))
    before = _raster_iou(held_out.views.logits.float(), held_out)
    targets = held_out.box_iou >= MASK_IOU
    near = held_out.box_iou >= NEAR_IOU
    final = calibrated_scores(refiner.calibration, held_out.scores, quality)
    return {
        "num_objects": float(len(held_out)),
        "iou_plain": float(before[targets].mean()),
        "iou_refined": float(iou[targets].mean()),
        "mean_iou": float(iou.mean()),
        "mean_calibrated": float(final.mean()),
        "spearman_raw": float(spearmanr(held_out.scores[near], iou[near]).statistic),
        "spearman_calibrated": float(spearmanr(final[near], iou[near]).statistic),
    }
