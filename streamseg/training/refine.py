"""Training of a refiner on top of finished weights, which remain unchanged."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from streamseg.modeling.refiner import ObjectViews, Refiner, RefinerOutput, calibrated_scores, product_logits
from streamseg.modeling.refiner.network import Separable
from streamseg.structures.arrays import Float64Array
from streamseg.training.optimizer import Optimizer, muon_of
from streamseg.training.refiner_examples import MASK_IOU, NEAR_IOU, RefinerExamples, RefineSettings
from streamseg.training.refiner_patches import ExamplePatches, example_patches, patch_corrections

__all__ = ["held_out_figures", "mask_ious", "refine_losses", "train_refiner"]

OUTLINE_GAIN, SMALL_GAIN = 2.0, 3.0
"""Additional loss weight of cells at the outline, and of small objects."""

ENTROPY_GAIN, IOU_GAIN = 0.5, 2.0
"""Weights of the two parts of the mask loss. Overlap, which is measured, is worth more than with equal weights of cross
entropy and Dice: after 1000 steps from a trained refiner, held-out masks had a mean IoU of .653 instead of .651."""

SMALL_SIDE_PX = 32.0
"""Objects are small below this square root of the box area, in pixels of the network's input."""


def train_refiner(
    examples: RefinerExamples,
    num_training: int,
    settings: RefineSettings,
    *,
    start: Refiner | None = None,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, num_steps, losses: None,
) -> Refiner:
    """Train a refiner on the first `num_training` examples, and calibrate it on the detections among the others.

    Args:
        examples: the examples; those held out come last.
        num_training: number of examples for training, at least 1.
        settings: settings of the training.
        start: refiner to continue from, of the same number of maps; None starts from random weights.
        on_step: called with the number of finished steps, their total, and the losses of the step.
    """
    torch.manual_seed(settings.seed)
    refiner = Refiner(examples.views.maps.shape[1], settings.width) if start is None else copy.deepcopy(start)
    refiner.train().requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(refiner)
    training = examples[torch.arange(num_training)]
    patches = example_patches(training)
    detected, known = (rows.nonzero()[:, 0] for rows in (~training.is_known, training.is_known))
    num_known = round(settings.known_share * settings.batch_size) if len(known) else 0
    num_steps = settings.num_steps(num_training)
    rng = torch.Generator().manual_seed(settings.seed)
    for step in range(num_steps):
        cosine = (1 + math.cos(math.pi * step / num_steps)) / 2
        rows = [
            chosen[torch.randint(len(chosen), (count,), generator=rng)]
            for chosen, count in ((detected, settings.batch_size - num_known), (known, num_known))
            if count
        ]
        is_mirrored = bool(torch.rand((), generator=rng) < 0.5)
        losses = refine_losses(refiner, patches[torch.cat(rows)], is_mirrored=is_mirrored)
        total = losses["mask"] + settings.quality_gain * losses["quality"]
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step(settings.learning_rate * min(1.0, (step + 1) / 50) * (cosine + 1e-3))
        on_step(step + 1, num_steps, {name: float(value.detach()) for name, value in losses.items()})
    refiner.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    held_out = torch.arange(num_training, len(examples))
    refiner.calibration.copy_(_calibration(refiner, examples[held_out], settings.quality_exponent))
    return refiner


def refine_losses(refiner: Refiner, patches: ExamplePatches, *, is_mirrored: bool = False) -> dict[str, Tensor]:
    """Return cross entropy plus soft IoU of the corrected masks, and the cross entropy of the predicted IoU.

    Outlines weigh more than interiors, and small objects more than others. A detection near no target counts as no
    object, weighted by the completeness of the labels. Objects whose place is known do not count for the prediction:
    that they exist would make it expect too much of detections.
    """
    corrections, predicted = patch_corrections(refiner, patches, is_mirrored=is_mirrored)
    logits = (patches.logits.float() + corrections).flatten(1)  # (N, R * R)
    truth = patches.truth.float().flatten(1) / 255
    is_small = (patches.sides < SMALL_SIDE_PX).float()  # (N,)
    gain = (patches.box_iou >= MASK_IOU) * (1 + SMALL_GAIN * is_small)  # (N,)
    cells = 1 + OUTLINE_GAIN * patches.outline.float().flatten(1)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * cells).sum(dim=1) / cells.sum(dim=1)
    probability = logits.sigmoid()
    overlap = (probability * truth).sum(dim=1)
    union = probability.square().sum(dim=1) + truth.square().sum(dim=1) - overlap
    loss = ENTROPY_GAIN * entropy + IOU_GAIN * (1 - (overlap + 1) / (union + 1))
    target_iou = _whole_iou(logits.detach() > 0, truth > 0.5, patches.outside)
    quality = functional.binary_cross_entropy_with_logits(predicted, target_iou, reduction="none")
    certainty = _certainty(patches) * ~patches.is_known
    return {"mask": _weighted_mean(loss, gain), "quality": _weighted_mean(quality, certainty)}


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


def _optimizer(refiner: Refiner) -> Optimizer:
    """Return Muon for the layers that mix channels, and AdamW for the rest, without weight decay.

    The loss of a network this small still falls after many passes: what limits it is the optimisation. After 2000 steps
    on the same examples, the mask loss was .485; with AdamW alone .502 at the former rate, .490 at a higher one.
    """
    blocks = cast(Iterable[Separable], refiner.blocks)
    mixing = [cast(nn.Parameter, one.weight) for one in (refiner.project, refiner.enter, *(one.mix for one in blocks))]
    flat = [(one, nn.Parameter(one.data.permute(0, 2, 3, 1).flatten(1))) for one in mixing]
    matrices = [*(matrix for _, matrix in flat), cast(nn.Parameter, refiner.weigh.weight)]
    chosen = {id(one) for one in (*mixing, refiner.weigh.weight)}
    others = [one for one in refiner.parameters() if id(one) not in chosen]
    adamw = torch.optim.AdamW([{"params": others, "rate": 1.0}], weight_decay=0.0)
    return Optimizer([muon_of(matrices, weight_decay=0.0), adamw], flat)


def _certainty(examples: RefinerExamples | ExamplePatches) -> Tensor:
    """Return the certainty of each IoU, (N,) 0..1: a detection near no target may be an unlabelled object."""
    return torch.where(examples.box_iou > NEAR_IOU, 1.0, examples.completeness)


def _refine(refiner: Refiner, examples: RefinerExamples) -> tuple[RefinerOutput, Tensor]:
    """Return the output of the refiner and the corrected logits (N, R, R)."""
    stored = examples.views
    views = ObjectViews(stored.logits.float(), refiner.project(stored.maps.float()), stored.pixels, stored.sides)
    refined: RefinerOutput = refiner(views)
    return refined, views.logits + refined.corrections


def _raster_iou(logits: Tensor, examples: RefinerExamples) -> Tensor:
    """Return the IoU (N,) of masks with their whole targets at raster resolution: a part of a target scores low."""
    return _whole_iou((logits > 0).flatten(1), (examples.truth > 127).flatten(1), examples.outside)


def _whole_iou(inside: Tensor, truth: Tensor, outside: Tensor) -> Tensor:
    """Return the IoU (N,) of masks and targets, bool (N, cells), with an area `outside` (N,) beyond the cells."""
    union = ((inside | truth).sum(dim=1) + outside).clamp(min=1)
    return (inside & truth).sum(dim=1) / union


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
