"""How well prompts are answered: mean IoU of the masks that boxes and points select.

Each labelled object is asked for by its own box, by one point and by three, and each prompt is answered as
everywhere else, by `prompting.select`. A box is asked twice: of what is found in the picture, as by FastSAM, and of a
segmenter that is told of it beforehand and looks there, as by `streamseg segment --boxes`. An object without an answer
counts with IoU 0: no answer must not be better than a poor one. Nor is every figure a feat: the box itself, filled, is
measured beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from streamseg.evaluation.overlap import mask_iou
from streamseg.evaluation.truth import ImageTruth, OnImage, SegmentFunction, labelled_images, size_masks
from streamseg.pipeline.guidance import GuidedSegmenter, guide_of_boxes
from streamseg.prompting.select import select
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, PointPrompt, Prompt

__all__ = [
    "PromptScores",
    "PromptedScores",
    "answers",
    "evaluate_prompted",
    "innermost_point",
    "points_in",
    "score_answers",
]

MIN_POINT_SCORE = 0.1
"""Points choose the smallest mask that holds them, so that they need masks worth choosing: of an IoU of a tenth to
expect at least, where scores are calibrated. Boxes choose the best fit among all that was found."""
NUM_POINTS = (1, 3)

Point = tuple[float, float]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PromptScores:
    """Answers to one kind of prompt; nan where there is no object."""

    mean_iou: float
    """0..1, over all objects; 0 for those without an answer."""
    mean_iou_by_size: dict[str, float]
    share_answered: float
    """Share of the prompts that selected anything."""
    mean_iou_answered: float
    """0..1, over the objects that have an answer."""
    share_above: dict[str, float]
    """Share of all objects whose answer has at least this IoU."""


@dataclass(frozen=True)
class PromptedScores:
    """Answers in one data set."""

    num_pictures: int
    num_objects: int
    """Labelled ones, crowds and empty masks left out."""
    box: PromptScores
    """By the labelled box, among what is found without it."""
    guided_box: PromptScores | None
    """By the labelled box, where the segmenter looks; None where it cannot be told."""
    filled_box: PromptScores
    """What the labelled box itself would score as a mask."""
    one_point: PromptScores
    """By the point of the object that is farthest from its border."""
    three_points: PromptScores
    """By that point and two more anywhere in the object."""


def evaluate_prompted(
    segment: SegmentFunction,
    folder: Path,
    *,
    min_point_score: float = MIN_POINT_SCORE,
    limit: int | None = None,
    seed: int = 0,
    on_image: OnImage = lambda done, total: None,
) -> PromptedScores:
    """Ask for every labelled object of a COCO-format folder.

    Args:
        segment: pictures to Instances; it should keep a thousand a picture at a very low score. One that can be
            guided is told of all boxes of a picture at once; each has an object of its own then.
        folder: with `instances.json` and `images/`.
        min_point_score: instances that score less do not answer points, 0..1.
        limit: the most pictures to use, the first ones; None for all.
        seed: of the places of points.
        on_image: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing, broken or empty, or a picture is unreadable.
    """
    ious: dict[str, list[Floats]] = {"box": [], "guided": [], "filled": [], "1": [], "3": []}
    areas: list[Floats] = []
    num_pictures = 0
    for image, truth in labelled_images(folder, limit=limit, on_image=on_image):
        instances = segment([image])[0]
        wanted = truth.objects
        boxes = [box_prompt(truth, row) for row in wanted]
        ious["box"].append(_ious(instances, boxes, truth, wanted))
        ious["filled"].append(_filled_ious(boxes, truth, wanted))
        if isinstance(segment, GuidedSegmenter):
            guided = segment.guided([image], [guide_of_boxes(boxes)])[0]
            ious["guided"].append(_ious(guided, boxes, truth, wanted))
        shown = instances[(instances.scores > min_point_score).nonzero().flatten()]
        for count in NUM_POINTS:
            points: list[Prompt] = []
            for row in wanted:
                # Of the place alone, so that a limit on the pictures does not move the points.
                generator = np.random.default_rng((seed, num_pictures, row))
                points.append(PointPrompt(str(row), points_in(truth.masks[row], count, generator), (1,) * count))
            ious[str(count)].append(_ious(shown, points, truth, wanted))
        areas.append(truth.areas[wanted])
        num_pictures += 1
    every_area = np.concatenate(areas)
    scores = {kind: score_answers(np.concatenate(values), every_area) for kind, values in ious.items() if values}
    return PromptedScores(
        num_pictures,
        len(every_area),
        box=scores["box"],
        guided_box=scores.get("guided"),
        filled_box=scores["filled"],
        one_point=scores["1"],
        three_points=scores["3"],
    )


def score_answers(ious: Floats, areas: Floats) -> PromptScores:
    """Figures of answers with IoU (N,), nan where there is none, to objects of areas (N,) pixels; N may be 0."""
    values = np.nan_to_num(ious, nan=0.0)
    return PromptScores(
        mean_iou=_mean(values),
        mean_iou_by_size={name: _mean(values[chosen]) for name, chosen in size_masks(areas).items()},
        share_answered=_mean(~np.isnan(ious)),
        mean_iou_answered=_mean(ious[~np.isnan(ious)]),
        share_above={f"{level:.2f}": _mean(values >= level) for level in np.linspace(0.05, 0.95, 19).tolist()},
    )


def box_prompt(truth: ImageTruth, row: int) -> BoxPrompt:
    """The labelled box of an object; that of its mask where the label has no extent."""
    x0, y0, x1, y1 = truth.boxes[row].tolist()
    if x1 <= x0 or y1 <= y0:
        mask = truth.masks[row]
        x0, y0, x1, y1 = mask.x, mask.y, mask.x + mask.crop.shape[1], mask.y + mask.crop.shape[0]
    return BoxPrompt(str(row), (x0, y0, x1, y1))


def answers(instances: Instances, prompts: Sequence[Prompt]) -> list[CropMask | None]:
    """The mask that answers each prompt, None where there is none; made once where several have the same."""
    tracked = Tracked(instances, torch.full((len(instances),), -1, dtype=torch.int64))
    rows = [selection.rows[0] if selection.rows else None for selection in select(tracked, prompts)]
    needed = sorted({row for row in rows if row is not None})
    masks = dict(zip(needed, instance_masks(instances, needed), strict=True))
    return [None if row is None else masks[row] for row in rows]


def _ious(instances: Instances, prompts: Sequence[Prompt], truth: ImageTruth, wanted: list[int]) -> Floats:
    """IoU (N,) of the answers with the objects asked for; nan without an answer."""
    found = answers(instances, prompts)
    return np.array(
        [np.nan if mask is None else mask_iou(mask, truth.masks[row]) for mask, row in zip(found, wanted, strict=True)],
        dtype=np.float64,
    )


def _filled_ious(boxes: Sequence[BoxPrompt], truth: ImageTruth, wanted: list[int]) -> Floats:
    """IoU (N,) of the pixels in each box with the object that it is for."""
    ious = []
    for prompt, row in zip(boxes, wanted, strict=True):
        x0, y0, x1, y1 = (round(value) for value in prompt.box)
        filled = CropMask(np.ones((max(y1 - y0, 1), max(x1 - x0, 1)), dtype=np.bool_), x0, y0)
        ious.append(mask_iou(filled, truth.masks[row]))
    return np.array(ious, dtype=np.float64)


def innermost_point(mask: CropMask) -> Point:
    """The centre (x, y) of the pixel that is farthest from everything outside the mask, the picture's border included.

    Of several, the first in reading order. This is where a person would click, and where segment-anything's
    evaluation clicks first.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.crop.any():
        raise ValueError("an empty mask has no point inside")
    padded = np.pad(mask.crop, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(int(np.argmax(distance)), distance.shape)
    return float(mask.x + x - 1 + 0.5), float(mask.y + y - 1 + 0.5)


def points_in(mask: CropMask, count: int, generator: np.random.Generator) -> tuple[Point, ...]:
    """The innermost point, then pixel centres drawn evenly from the mask, each once while there are enough.

    Raises:
        ValueError: the mask is empty.
    """
    first = innermost_point(mask)
    rows, columns = np.nonzero(mask.crop)
    drawn = generator.choice(len(rows), count - 1, replace=len(rows) < count)
    others = [(mask.x + columns[place] + 0.5, mask.y + rows[place] + 0.5) for place in drawn.tolist()]
    return (first, *((float(x), float(y)) for x, y in others))


def _mean(values: npt.NDArray[np.float64] | npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
