"""Agreement of scores with mask quality: rank correlation, calibration, reliability.

The FastSAM paper names it as a weakness that poor masks get high scores, because a score rates the box. Two groups of
proposals are evaluated. *All* proposals, where an unlabelled object counts as a mistake: a lower bound, the same for
every model. And proposals *on objects*, whose box fits a labelled object (IoU >= 0.5), each with the IoU of its mask
with that object: whether the score follows the mask when the box is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from streamseg.datasets.problems import Problems
from streamseg.datasets.subset import ImageList
from streamseg.evaluation.overlap import box_ious, mask_ious
from streamseg.evaluation.truth import ImageTruth, OnImage, SegmentImages, labelled_images
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray

__all__ = [
    "Calibration",
    "JudgedProposals",
    "ReliabilityBin",
    "ScoreScores",
    "calibration",
    "evaluate_scores",
    "judged_proposals",
    "reliability",
    "spearman",
]

NUM_BINS = 10
CORRECT_IOU = 0.5
"""Minimum IoU of a correct mask, for the measures that need a binary outcome."""
ON_OBJECT_IOU = 0.5
"""Minimum IoU of a proposal's box with an object's box to assign the proposal to that object."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Proposals whose scores lie in one interval."""

    low: float
    high: float
    num_proposals: int
    mean_score: float
    """Mean score, 0..1; like the other means, nan if there are no proposals."""
    mean_iou: float
    share_correct: float
    """Share with an IoU of at least 0.5."""


@dataclass(frozen=True)
class Calibration:
    """Relation of scores and mask IoU in one group of proposals; nan if the group is empty."""

    num_proposals: int
    spearman: float
    """Rank correlation of score and IoU, -1..1; nan if either is constant."""
    calibration_error: float
    """Expected calibration error (Guo et al., 2017) of the score as an estimate of the IoU, ten bins, 0..1."""
    calibration_error_50: float
    """Expected calibration error of the score as the probability of an IoU of at least 0.5."""
    brier: float
    """Mean squared difference (Brier, 1950) of the score and the outcome "IoU of at least 0.5", 0..1."""
    mean_score: float
    mean_iou: float
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ScoreScores:
    """Calibration of scores in one data set."""

    num_images: int
    all_proposals: Calibration
    on_objects: Calibration


def evaluate_scores(
    segment: SegmentImages,
    folder: Path | ImageList,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
) -> ScoreScores:
    """Run a segmenter over a COCO-format folder and compare its scores with its masks.

    Proposals that lie mostly in a crowd are omitted, because their quality is unknown.

    Args:
        segment: the segmenter; it should keep 1000 objects per image at a very low score.
        folder: a folder with `instances.json` and `images/`, a YOLO data set, or a list, see `usable_images`.
        limit: maximum number of images, taken from the start; None for all.
        on_image: progress callback.
        problems: collects the images and annotations that are skipped; None refuses a folder with any.

    Raises:
        DataError: the folder is missing or invalid, or contains no usable image; or `problems` is None, and an image or
            annotation is unusable.
    """
    pairs: list[Float64Array] = [np.zeros((0, 2))]
    pairs_on_objects: list[Float64Array] = [np.zeros((0, 2))]
    num_images = 0
    for image, truth in labelled_images(folder, limit=limit, on_image=on_image, problems=problems):
        instances = segment([image])[0]
        num_images += 1
        scores = instances.scores.numpy(force=True).astype(np.float64)
        boxes = instances.boxes.numpy(force=True).astype(np.float64)
        ious = mask_ious(instance_masks(instances, as_pixels=True), truth.masks, truth.is_crowd)  # (D, G)
        judged = judged_proposals(boxes, ious, truth)
        pairs.append(np.stack([scores[judged.every], judged.best], axis=1))
        pairs_on_objects.append(np.stack([scores[judged.on_objects], judged.own], axis=1))
    return ScoreScores(
        num_images=num_images,
        all_proposals=calibration(*np.concatenate(pairs).T),
        on_objects=calibration(*np.concatenate(pairs_on_objects).T),
    )


@dataclass(frozen=True, eq=False)
class JudgedProposals:
    """Evaluated proposals of one image, with the IoU that each score should have predicted."""

    every: IndexArray
    """(N,) rows of all proposals except those in a crowd."""
    best: Float64Array
    """(N,) IoU of each with the object it fits best."""
    on_objects: IndexArray
    """(M,) rows of the proposals whose box fits a labelled object."""
    own: Float64Array
    """(M,) IoU of each with that object."""


def judged_proposals(boxes: Float64Array, ious: Float64Array, truth: ImageTruth) -> JudgedProposals:
    """Return the two groups of proposals on which scores are evaluated.

    Args:
        boxes: (D, 4) xyxy; D may be 0.
        ious: (D, G) IoU of the proposals' masks with the labelled masks.
        truth: labels of G objects, including crowds; G may be 0.
    """
    in_crowd = ious[:, truth.is_crowd].max(axis=1, initial=0) >= CORRECT_IOU
    single = ious[:, ~truth.is_crowd]
    best = single.max(axis=1, initial=0)
    every = np.flatnonzero(~(in_crowd & (best < CORRECT_IOU)))
    if not single.shape[1]:
        return JudgedProposals(every, best[every], every[:0], best[:0])
    fit = box_ious(boxes, truth.boxes, truth.is_crowd)[:, ~truth.is_crowd]
    rows = np.flatnonzero(fit.max(axis=1) >= ON_OBJECT_IOU)
    return JudgedProposals(every, best[every], rows, single[rows, fit[rows].argmax(axis=1)])


def calibration(scores: Float64Array, ious: Float64Array) -> Calibration:
    """Return the calibration of proposals with scores (N,) and IoUs (N,), both 0..1; N may be 0."""
    is_correct = (ious >= CORRECT_IOU).astype(np.float64)
    bins = reliability(scores, ious)
    return Calibration(
        num_proposals=len(scores),
        spearman=spearman(scores, ious),
        calibration_error=_calibration_error(bins, [one.mean_iou for one in bins]),
        calibration_error_50=_calibration_error(bins, [one.share_correct for one in bins]),
        brier=_mean((scores - is_correct) ** 2),
        mean_score=_mean(scores),
        mean_iou=_mean(ious),
        reliability=bins,
    )


def spearman(scores: Float64Array, ious: Float64Array) -> float:
    """Return the rank correlation of two arrays (N,); ties share their mean rank; nan if either is constant."""
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(ious) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(scores), rankdata(ious))[0, 1])


def reliability(scores: Float64Array, ious: Float64Array, *, num_bins: int = NUM_BINS) -> tuple[ReliabilityBin, ...]:
    """Return means over equal intervals of scores from 0 to 1; a score on a border belongs to the upper bin."""
    places = np.minimum((scores * num_bins).astype(np.int64), num_bins - 1)
    bins = []
    for place in range(num_bins):
        chosen = places == place
        bins.append(
            ReliabilityBin(
                low=place / num_bins,
                high=(place + 1) / num_bins,
                num_proposals=int(chosen.sum()),
                mean_score=_mean(scores[chosen]),
                mean_iou=_mean(ious[chosen]),
                share_correct=_mean(ious[chosen] >= CORRECT_IOU),
            )
        )
    return tuple(bins)


def _calibration_error(bins: tuple[ReliabilityBin, ...], outcomes: list[float]) -> float:
    """Return the mean difference of score and outcome over bins, weighted by their number of proposals."""
    total = sum(one.num_proposals for one in bins)
    if not total:
        return float("nan")
    return float(
        sum(
            one.num_proposals * abs(one.mean_score - outcome)
            for one, outcome in zip(bins, outcomes, strict=True)
            if one.num_proposals
        )
        / total
    )


def _mean(values: Float64Array | BoolArray) -> float:
    return float(values.mean()) if len(values) else float("nan")
