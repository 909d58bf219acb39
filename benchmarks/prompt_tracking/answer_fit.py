"""The fit of `prompting.confidence`: rows of evidence and outcome from labelled images, weights, and cross-validation.

Prompts on images and in sequences are two sets: weights fitted on one are judged by the other, beside those in use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.prompt_tracking.fit import regression
from streamseg.datasets.problems import Problems
from streamseg.datasets.subset import ImageList
from streamseg.evaluation.claims import Answer
from streamseg.evaluation.overlap import mask_iou
from streamseg.evaluation.prompted import box_prompt, innermost_point
from streamseg.evaluation.truth import labelled_images
from streamseg.prompting.confidence import MASK_WEIGHTS, OBJECT_WEIGHTS, features, rated
from streamseg.prompting.prompt_set import PromptSet
from streamseg.prompting.select import select_with_status
from streamseg.segmentation import Segmenter
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.instances import TENTATIVE, Instances, Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import PointPrompt, SpatialPrompt
from streamseg.structures.search_regions import SearchRegions

__all__ = ["IN_USE", "Row", "fit", "image_rows", "log_losses"]

MIN_IDENTITY = 0.9
"""Minimum confidence in the identity of an answer for the fit: other errors are not those of the prompt or the mask."""
RIDGE = 1e-3
"""Regularisation of the fit: a few sequences would otherwise be separated perfectly."""
CORRECT_IOU = 0.5
MAX_OBJECTS = 6
"""Maximum number of objects per image, the first ones: an image of a crowd is one example, not twenty."""
IN_USE = {"OBJECT_WEIGHTS": OBJECT_WEIGHTS, "MASK_WEIGHTS": MASK_WEIGHTS}
"""The weights in use, by name."""


@dataclass(frozen=True)
class Row:
    """One answer: evidence and outcome."""

    trajectory: str
    """Sequence, prompt and first frame, or image and kind of prompt; all trajectories weigh the same in the fit."""
    evidence: tuple[float, ...]
    """(F,) of `prompting.confidence.features`."""
    identity: float
    answer: Answer


def image_rows(segmenter: Segmenter, images: ImageList, *, limit: int | None = None) -> Iterator[Row]:
    """Yield the answers to a box and a click on the objects of labelled images, as a pipeline gives them.

    Args:
        segmenter: with the thresholds of a live run.
        images: the images; unusable ones are skipped.
        limit: maximum number of images; None for all.
    """
    for number, (image, truth) in enumerate(labelled_images(images, limit=limit, problems=Problems())):
        objects = truth.objects[:MAX_OBJECTS]
        masks = [truth.masks[row] for row in objects]
        boxes = [box_prompt(truth, row) for row in objects]
        clicks = [
            PointPrompt(str(row), (innermost_point(mask),), (1,)) for row, mask in zip(objects, masks, strict=True)
        ]
        # Boxes replace what overlaps them: clicks must not find their objects.
        box_regions = SearchRegions(prompted=np.array([one.box for one in boxes], np.float64).reshape(-1, 4))
        click_regions = SearchRegions(points=np.array([one.point_coords[0] for one in clicks]).reshape(-1, 2))
        found, around = segmenter.segment_batch([image, image], [box_regions, click_regions])
        yield from _answers(f"image {number}, box", found, boxes, masks)
        yield from _answers(f"image {number}, point", around, clicks, masks)


def _answers(
    trajectory: str, instances: Instances, prompts: Sequence[SpatialPrompt], masks: Sequence[CropMask]
) -> Iterator[Row]:
    given = PromptSet.of(prompts)
    tracked = Tracked(instances, instances.boxes.new_full((len(instances),), TENTATIVE).long())
    selections = rated(select_with_status(tracked, given), given, instances, is_tracked=False)
    for selection, prompt, truth in zip(selections, prompts, masks, strict=True):
        if selection.status is None or not selection.rows:
            continue
        (mask,) = instance_masks(instances, [selection.rows[0]])
        evidence = features(prompt, float(instances.scores[selection.rows[0]]))
        yield Row(trajectory, evidence, 1.0, Answer(selection.status, mask_iou(mask, truth)))


def fit(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Return the weights (F,) for an IoU of at least 0.5, and for the IoU, by the names of `IN_USE`."""
    matrix, wanted, counts = _arrays(rows)
    return {
        name: np.round(regression(matrix, values, counts, ridge=RIDGE), 2).tolist() for name, values in wanted.items()
    }


def log_losses(rows: Sequence[Row], weights: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the mean log loss, nats, of estimates by these weights; lower is better."""
    matrix, wanted, counts = _arrays(rows)
    losses = {}
    for name, values in wanted.items():
        estimate = 1 / (1 + np.exp(-matrix @ np.array(weights[name])))
        losses[name] = round(
            float(-(counts * (values * np.log(estimate) + (1 - values) * np.log(1 - estimate))).sum()), 4
        )
    return losses


def _arrays(rows: Sequence[Row]) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return the evidence (N, F) of certain rows, the outcomes (N,) by name, and the weights (N,) of the rows."""
    certain = [row for row in rows if row.identity >= MIN_IDENTITY]
    lengths = Counter(row.trajectory for row in certain)
    counts = np.array([1 / lengths[row.trajectory] / len(lengths) for row in certain])
    ious = np.array([row.answer.iou for row in certain])
    outcomes = {"OBJECT_WEIGHTS": (ious >= CORRECT_IOU).astype(np.float64), "MASK_WEIGHTS": ious}
    return np.array([row.evidence for row in certain]), outcomes, counts
