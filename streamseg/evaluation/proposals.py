"""Average recall and average precision of class-agnostic object proposals.

The figures are those of COCO's evaluation program for one category (Lin et al., "Microsoft COCO", 2014), computed for
all thresholds and sizes at once. Recall is the main figure: if only some kinds of objects are labelled, precision is
low for any model, because it also finds the unlabelled objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamseg.datasets.problems import Problems
from streamseg.datasets.subset import ImageList
from streamseg.datasets.yolo_yaml import Split
from streamseg.evaluation.matching import (
    FALSE,
    IGNORED,
    RANGES,
    THRESHOLDS,
    TRUE,
    ImageMatches,
    match_image,
)
from streamseg.evaluation.overlap import box_ious, mask_ious
from streamseg.evaluation.truth import (
    BoxInstances,
    OnImage,
    RankInstances,
    SegmentImages,
    labelled_images,
    network_boxes,
    own_scores,
)
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import Float64Array, IndexArray
from streamseg.structures.instances import Instances

__all__ = ["MatchScores", "OperatingPoint", "ProposalScores", "evaluate_proposals", "score_matches"]

MAX_PROPOSALS = (10, 100, 1000)
"""Numbers of proposals per image at which recall is reported (FastSAM's Table 3)."""
PRECISION_PROPOSALS = 100
"""Number of proposals per image at which precision is reported (COCO's AP)."""
RECALL_LEVELS = np.linspace(0, 1, 101)
"""Recall levels at which precision is sampled (COCO's AP)."""


@dataclass(frozen=True)
class OperatingPoint:
    """Precision and recall at one score threshold, each 0..1."""

    conf: float
    """Lowest score of the proposals that count; nan if there are none."""
    precision: float
    recall: float


@dataclass(frozen=True)
class MatchScores:
    """Class-agnostic scores of masks or boxes, each 0..1; nan if there is no object to find."""

    recall: dict[int, float]
    """AR over IoU 0.50:0.95 at 10, 100 and 1000 proposals per image."""
    recall_by_size: dict[str, float]
    """AR at 1000 of small (up to 32² px), medium and large (from 96² px) objects."""
    recall_by_iou: dict[str, float]
    """Recall at 1000 proposals, by the minimum IoU of a match."""
    auc: float
    """Normalised area under AR over the logarithm of the number of proposals, from 1 to 1000.

    This is the summary figure of Pinheiro et al., "Learning to Segment Object Candidates", 2015, which FastSAM's
    Table 3 reports beside AR at 10, 100 and 1000."""
    recall_curve: dict[int, float]
    """AR by number of proposals, at selected numbers from 1 to 1000."""
    precision: float
    """AP over IoU 0.50:0.95 at 100 proposals per image."""
    precision_50: float
    precision_75: float
    precision_by_size: dict[str, float]
    best_f1: OperatingPoint
    """The threshold with the best F1 at IoU 0.5, among 100 proposals per image: a choice of `conf`. Its precision and
    recall are nan if there is no object to find, 0 if none is found."""


@dataclass(frozen=True)
class ProposalScores:
    """Scores of one data set."""

    num_images: int
    num_objects: int
    """Number of labelled objects without crowds."""
    num_proposals: float
    """Mean number of proposals per image."""
    box: MatchScores
    mask: MatchScores
    mean_best_iou: float
    """Mean over objects of the best mask's IoU."""
    found_by_category: dict[str, float]
    """Share of objects with a mask of IoU >= 0.5, for each of the ten most frequent labels."""


def evaluate_proposals(
    segment: SegmentImages,
    folder: Path | ImageList,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
    split: Split = "val",
    rank: RankInstances = own_scores,
    box: BoxInstances = network_boxes,
) -> ProposalScores:
    """Run a segmenter over a COCO-format folder and score its proposals, ignoring classes.

    Args:
        segment: the segmenter; it should keep 1000 objects per image at a very low score.
        folder: a folder with `instances.json` and `images/`, a YOLO data set, or a list, see `usable_images`.
        limit: maximum number of images, taken from the start; None for all.
        on_image: progress callback.
        problems: collects the images and annotations that are skipped; None refuses a folder with any.
        split: split of a YOLO data set.
        rank: the scores that count, such as `ranking_scores`.
        box: the boxes that count, such as `detection_boxes`.

    Raises:
        DataError: the folder is missing or invalid, or contains no usable image; or `problems` is None, and an image or
            annotation is unusable.
    """
    box_matches: list[ImageMatches] = []
    mask_matches: list[ImageMatches] = []
    best: dict[str, list[float]] = {}
    num_proposals = 0
    for image, truth in labelled_images(folder, limit=limit, on_image=on_image, problems=problems, split=split):
        instances: Instances = segment([image])[0]
        scores = rank(instances).numpy(force=True).astype(np.float64)
        masks = instance_masks(instances, as_pixels=True)
        boxes = box(instances, masks)
        ious = mask_ious(masks, truth.masks, truth.is_crowd)
        box_areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        mask_areas = np.array([mask.area for mask in masks], dtype=np.float64)
        overlap = box_ious(boxes, truth.boxes, truth.is_crowd)
        box_matches.append(_without_tail(match_image(overlap, scores, box_areas, truth.areas, truth.is_crowd)))
        mask_matches.append(_without_tail(match_image(ious, scores, mask_areas, truth.areas, truth.is_crowd)))
        for column in np.flatnonzero(~truth.is_crowd).tolist():
            best.setdefault(truth.labels[column], []).append(float(ious[:, column].max(initial=0)))
        num_proposals += len(masks)
    every = [iou for ious_of_label in best.values() for iou in ious_of_label]
    frequent = sorted(best, key=lambda label: -len(best[label]))[:10]
    return ProposalScores(
        num_images=len(mask_matches),
        num_objects=len(every),
        num_proposals=num_proposals / len(mask_matches),
        box=score_matches(box_matches),
        mask=score_matches(mask_matches),
        mean_best_iou=float(np.mean(every)) if every else float("nan"),
        found_by_category={label: float(np.mean(np.array(best[label]) >= 0.5)) for label in frequent},
    )


def score_matches(matches: Sequence[ImageMatches]) -> MatchScores:
    """Return average recall and precision over images; nan if there are none."""
    num_objects = sum((one.counts.sum(axis=1) for one in matches), np.zeros(len(RANGES), dtype=np.int64))  # (R,)
    found = _found(matches, num_objects)  # (R, T, N)
    mean_found = found.mean(axis=1)  # (R, N)
    precision = _precision(matches, num_objects)  # (R, T)
    sizes = {name: row for row, name in enumerate(RANGES) if name != "all"}
    steps = np.log(np.arange(1, MAX_PROPOSALS[-1] + 1))
    curve_points = np.unique(np.round(np.geomspace(1, MAX_PROPOSALS[-1], 31)).astype(int)).tolist()
    return MatchScores(
        recall={limit: float(mean_found[0, limit - 1]) for limit in MAX_PROPOSALS},
        recall_by_size={name: float(mean_found[row, -1]) for name, row in sizes.items()},
        recall_by_iou={f"{iou:.2f}": float(found[0, level, -1]) for level, iou in enumerate(THRESHOLDS)},
        auc=float(np.trapezoid(mean_found[0], steps) / steps[-1]),
        recall_curve={number: float(mean_found[0, number - 1]) for number in curve_points},
        precision=float(precision[0].mean()),
        precision_50=float(precision[0, 0]),
        precision_75=float(precision[0, 5]),
        precision_by_size={name: float(precision[row].mean()) for name, row in sizes.items()},
        best_f1=_best_f1(matches, int(num_objects[0])),
    )


def _best_f1(matches: Sequence[ImageMatches], num_objects: int) -> OperatingPoint:
    """Return the operating point with the best F1 over objects of all sizes, at the lowest IoU threshold."""
    if not num_objects:
        return OperatingPoint(float("nan"), float("nan"), float("nan"))
    scores = np.concatenate([one.scores[:PRECISION_PROPOSALS] for one in matches])
    outcomes = np.concatenate([one.outcomes[0, 0, :PRECISION_PROPOSALS] for one in matches])
    order = np.argsort(-scores, kind="stable")
    scores, outcomes = scores[order], outcomes[order]
    num_true = np.cumsum(outcomes == TRUE)
    num_positive = np.cumsum(outcomes != IGNORED)
    f1 = 2 * num_true / (num_positive + num_objects)
    # A threshold separates different scores only.
    f1[:-1][scores[:-1] == scores[1:]] = -1
    if not len(f1) or not num_true[-1]:
        return OperatingPoint(float("nan"), 0.0, 0.0)
    best = int(f1.argmax())
    return OperatingPoint(
        float(scores[best]), float(num_true[best] / num_positive[best]), float(num_true[best] / num_objects)
    )


def _without_tail(matches: ImageMatches) -> ImageMatches:
    """Drop the outcomes that no score uses: for 1000 proposals in many thousands of images they would fill memory."""
    return replace(
        matches,
        scores=matches.scores[:PRECISION_PROPOSALS].copy(),
        outcomes=matches.outcomes[:, :, :PRECISION_PROPOSALS].copy(),
    )


def _found(matches: Sequence[ImageMatches], num_objects: IndexArray) -> Float64Array:
    """Return the share (R, T, N) of the objects found by the best 1, 2, … N proposals of each image."""
    found = np.zeros((len(RANGES), len(THRESHOLDS), MAX_PROPOSALS[-1]))
    for one in matches:
        rows, levels, columns = np.nonzero(one.ranks < MAX_PROPOSALS[-1])
        np.add.at(found, (rows, levels, one.ranks[rows, levels, columns]), 1)
    total = np.where(num_objects > 0, num_objects, np.nan)[:, None, None]
    return np.asarray(found.cumsum(axis=2) / total)


def _precision(matches: Sequence[ImageMatches], num_objects: IndexArray) -> Float64Array:
    """Return AP (R, T): the mean over recall levels of the best precision at that recall or higher."""
    best = np.full((len(RANGES), len(THRESHOLDS)), np.nan)
    if not num_objects.any():
        return best
    scores = np.concatenate([one.scores[:PRECISION_PROPOSALS] for one in matches])
    outcomes = np.concatenate([one.outcomes[:, :, :PRECISION_PROPOSALS] for one in matches], axis=2)
    outcomes = outcomes[:, :, np.argsort(-scores, kind="stable")]
    for row in np.flatnonzero(num_objects).tolist():
        for level, outcome in enumerate(outcomes[row]):
            num_true, num_false = np.cumsum(outcome == TRUE), np.cumsum(outcome == FALSE)
            precision = num_true / np.maximum(num_true + num_false, 1)
            # The final 0 applies to recall levels that are never reached.
            envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
            reached = np.searchsorted(num_true / num_objects[row], RECALL_LEVELS, side="left")
            best[row, level] = envelope[reached].mean()
    return best
