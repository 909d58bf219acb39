"""Training of a refiner on top of finished weights, which stay as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from streamseg.modeling.refiner import RefinerOutput, Refiner, ObjectViews, calibrated_scores, product_logits
from streamseg.training.refine_samples import MASK_IOU, NEAR_IOU, RefineSettings, Samples

__all__ = ["held_out_figures", "refine_losses", "train_refiner"]

OUTLINE_GAIN, SMALL_GAIN = 2.0, 3.0
"""How much more cells at the outline count than others, and small objects than others."""

SMALL_SIDE_PX = 32.0
"""Square root of the area of a box in the network's input."""


def train_refiner(
    samples: Samples,
    num_training: int,
    settings: RefineSettings,
    *,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, num_steps, losses: None,
) -> Refiner:
    """Train a refiner on the first `num_training` samples, and calibrate it on the others."""
    torch.manual_seed(settings.seed)
    refiner = Refiner(samples.views.maps.shape[1], settings.width)
    optimizer = torch.optim.AdamW(refiner.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    num_steps = settings.num_steps(num_training)
    rng = torch.Generator().manual_seed(settings.seed)
    for step in range(num_steps):
        cosine = (1 + math.cos(math.pi * step / num_steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (step + 1) / 50) * (cosine + 1e-3)
        rows = torch.randint(num_training, (settings.batch_size,), generator=rng)
        batch = samples[rows]
        flip = bool(torch.rand((), generator=rng) < 0.5)
        losses = refine_losses(refiner, _flipped(batch) if flip else batch)
        total = losses["mask"] + settings.quality_gain * losses["quality"]
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(step + 1, num_steps, {name: float(value.detach()) for name, value in losses.items()})
    refiner.eval().requires_grad_(False)
    held_out = torch.arange(num_training, len(samples))
    refiner.calibration.copy_(_calibration(refiner, samples[held_out]))
    return refiner


def refine_losses(refiner: Refiner, samples: Samples) -> dict[str, Tensor]:
    """Cross entropy and Dice of the corrected masks, and cross entropy of the expected IoU with the real one.

    Outlines count more than what lies inside, small objects more than others. What is near no target is no object,
    as far as the labels can be trusted.
    """
    refined, logits = _answer(refiner, samples)
    truth = samples.truth.float() / 255
    is_small = (samples.views.sides < SMALL_SIDE_PX).float()  # (N,)
    gain = (samples.box_iou >= MASK_IOU) * (1 + SMALL_GAIN * is_small)  # (N,)
    cells = 1 + OUTLINE_GAIN * _outline(truth > 0.5)  # (N, R, R)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * cells).sum(dim=(1, 2)) / cells.sum(dim=(1, 2))
    probability = logits.sigmoid()
    overlap = (probability * truth).sum(dim=(1, 2))
    dice = 1 - (2 * overlap + 1) / (probability.square().sum(dim=(1, 2)) + truth.square().sum(dim=(1, 2)) + 1)
    mask = ((entropy + dice) * gain).sum() / gain.sum().clamp(min=1)
    wanted = _raster_iou(logits.detach(), samples)
    quality = functional.binary_cross_entropy_with_logits(refined.quality, wanted, reduction="none")
    known = _known(samples)
    return {"mask": mask, "quality": (quality * known).sum() / known.sum().clamp(min=1)}


def _known(samples: Samples) -> Tensor:
    """How far the IoU of each is known, (N,) 0..1: what is near no target may just not be labelled."""
    return torch.where(samples.box_iou > NEAR_IOU, 1.0, samples.trust)


def _outline(truth: Tensor) -> Tensor:
    """Float (N, R, R): 1 within two cells of the border of masks (N, R, R), else 0."""
    inside = truth.float()[:, None]
    around = functional.max_pool2d(inside, 5, 1, 2) + functional.max_pool2d(-inside, 5, 1, 2)
    return around[:, 0]


def _answer(refiner: Refiner, samples: Samples) -> tuple[RefinerOutput, Tensor]:
    """The refiner's answer, and the corrected logits (N, R, R)."""
    stored = samples.views
    seen = ObjectViews(stored.logits.float(), refiner.project(stored.maps.float()), stored.pixels, stored.sides)
    refined: RefinerOutput = refiner(seen)
    return refined, seen.logits + refined.corrections


def _raster_iou(logits: Tensor, samples: Samples) -> Tensor:
    """IoU (N,) of masks with their targets, as exact as the raster: a part of a target is a poor mask of it."""
    inside, truth = logits > 0, samples.truth > 127
    union = ((inside | truth).sum(dim=(1, 2)) + samples.beyond).clamp(min=1)
    return (inside & truth).sum(dim=(1, 2)) / union


@torch.inference_mode()
def _answers(refiner: Refiner, samples: Samples, *, at_once: int = 512) -> Iterator[tuple[Tensor, Tensor]]:
    """Quality logits and IoU of the corrected masks, part by part."""
    for first in range(0, len(samples), at_once):
        part = torch.arange(first, min(first + at_once, len(samples)))
        refined, logits = _answer(refiner, samples[part])
        yield refined.quality, _raster_iou(logits, samples[part])


def _calibration(refiner: Refiner, held_out: Samples) -> Tensor:
    """Logistic regression (2,) of the IoU, over everything that was found, on the logit of score times quality.

    What is near no target counts as far as the labels can be trusted: as mistakes in full, the many objects that
    nobody labelled would pull the expected IoU of all others down.
    """
    quality, iou = (torch.cat(values) for values in zip(*_answers(refiner, held_out), strict=True))
    product, wanted = product_logits(held_out.scores, quality).double(), iou.double()
    known = _known(held_out).double()

    def cost(slope_and_constant: npt.NDArray[np.float64]) -> float:
        logits = slope_and_constant[0] * product + slope_and_constant[1]
        entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return float((entropy * known).sum() / known.sum().clamp(min=1))

    return torch.from_numpy(minimize(cost, np.array([0.5, 0.0])).x).float()


def _flipped(samples: Samples) -> Samples:
    """The same objects in a mirror."""
    stored = samples.views
    turned = ObjectViews(stored.logits.flip(2), stored.maps.flip(3), stored.pixels.flip(2), stored.sides)
    return replace(samples, views=turned, truth=samples.truth.flip(2))


def held_out_figures(refiner: Refiner, held_out: Samples) -> dict[str, float]:
    """How good it is: mean IoU of targets before and after, and how well the scores rank it (Spearman)."""
    quality, iou = (torch.cat(values) for values in zip(*_answers(refiner, held_out), strict=True))
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
