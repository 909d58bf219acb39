"""Whether scores tell how good masks are: rank correlation, calibration, reliability.

The paper on FastSAM names it as a weakness that poor masks get high scores, because a score is that of the
box. Two groups are looked at. *All* proposals, where an object that nobody labelled counts as a mistake: a
floor, the same for every model. And those *on objects*, whose box fits a labelled object (IoU >= 0.5), each
with the IoU of its mask with that object: whether the score follows the mask, where the box is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from streamseg.evaluation.overlap import box_ious, mask_ious
from streamseg.evaluation.truth import ImageTruth, OnImage, SegmentFunction, labelled_images
from streamseg.segmentation.masks import instance_masks

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
"""IoU from which a mask is right, for those figures that need a yes or no."""
ON_OBJECT_IOU = 0.5
"""IoU of a proposal's box with that of an object from which it is meant to be that object."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityBin:
    """Proposals whose scores lie in one interval."""

    low: float
    high: float
    num_proposals: int
    mean_score: float
    """nan without proposals, like the other means."""
    mean_iou: float
    share_correct: float
    """With an IoU of 0.5 or more."""


@dataclass(frozen=True)
class Calibration:
    """How scores relate to the IoU of masks in one group of proposals; nan where there is none."""

    num_proposals: int
    spearman: float
    """Rank correlation of score and IoU, -1..1; nan where either is constant."""
    calibration_error: float
    """Expected calibration error (Guo et al., 2017) of the score as an estimate of the IoU, ten bins, 0..1."""
    calibration_error_50: float
    """The same of the score as the probability that the IoU is 0.5 or more."""
    brier: float
    """Mean squared difference (Brier, 1950) of the score and of whether the IoU is 0.5 or more, 0..1."""
    mean_score: float
    mean_iou: float
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ScoreScores:
    """The scores of one data set."""

    num_pictures: int
    all_proposals: Calibration
    on_objects: Calibration


def evaluate_scores(
    segment: SegmentFunction,
    folder: Path,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> ScoreScores:
    """Run a segmenter over a COCO-format folder and compare its scores with its masks.

    Proposals that lie in a crowd more than elsewhere are left out: nobody knows how good they are.

    Args:
        segment: pictures to Instances. What scores next to nothing should be left away by it, as it is in
            use: a thousand proposals near 0 would decide every figure.
        folder: with `instances.json` and `images/`.
        limit: the most pictures to use, the first ones; None for all.
        on_image: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing, broken or empty, or a picture is unreadable.
    """
    pairs: list[Floats] = [np.zeros((0, 2))]
    pairs_on_objects: list[Floats] = [np.zeros((0, 2))]
    num_pictures = 0
    for image, truth in labelled_images(folder, limit=limit, on_image=on_image):
        instances = segment([image])[0]
        num_pictures += 1
        scores = instances.scores.numpy(force=True).astype(np.float64)
        boxes = instances.boxes.numpy(force=True).astype(np.float64)
        ious = mask_ious(instance_masks(instances), truth.masks, truth.is_crowd)  # (D, G)
        judged = judged_proposals(boxes, ious, truth)
        pairs.append(np.stack([scores[judged.every], judged.best], axis=1))
        pairs_on_objects.append(np.stack([scores[judged.on_objects], judged.own], axis=1))
    return ScoreScores(
        num_pictures=num_pictures,
        all_proposals=calibration(*np.concatenate(pairs).T),
        on_objects=calibration(*np.concatenate(pairs_on_objects).T),
    )


@dataclass(frozen=True, eq=False)
class JudgedProposals:
    """Proposals of one picture whose scores are judged, and the IoU that each should have promised."""

    every: npt.NDArray[np.int64]
    """Rows (N,): all but those in a crowd."""
    best: Floats
    """(N,): each one's IoU with whatever it fits best."""
    on_objects: npt.NDArray[np.int64]
    """Rows (M,): those whose box fits a labelled object."""
    own: Floats
    """(M,): each one's IoU with that object."""


def judged_proposals(boxes: Floats, ious: Floats, truth: ImageTruth) -> JudgedProposals:
    """The two groups that scores are judged on.

    Args:
        boxes: (D, 4) xyxy; D may be 0.
        ious: (D, G) of the proposals' masks with the labelled ones.
        truth: G objects, crowds among them; G may be 0.
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


def calibration(scores: Floats, ious: Floats) -> Calibration:
    """Figures of proposals with scores (N,) and IoUs (N,), both 0..1; N may be 0."""
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


def spearman(scores: Floats, ious: Floats) -> float:
    """Rank correlation of two sequences (N,); equal values share their mean rank; nan where either is constant."""
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(ious) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(scores), rankdata(ious))[0, 1])


def reliability(scores: Floats, ious: Floats, *, num_bins: int = NUM_BINS) -> tuple[ReliabilityBin, ...]:
    """Means over equal intervals of scores from 0 to 1; a score between two belongs to the upper one."""
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
    """Mean difference of score and outcome over bins, each weighted with its proposals."""
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


def _mean(values: Floats | npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
