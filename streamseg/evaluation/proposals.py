"""How many labelled objects are found: average recall of class-less proposals, by COCO's own evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from streamseg.annotations import LabelledPicture, annotation_mask, read_image, read_pictures
from streamseg.rle import crop_to_coco
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.instances import Instances

__all__ = ["ProposalScores", "evaluate_proposals"]

MAX_PROPOSALS = (10, 100, 1000)
"""Proposals per picture at which recall is taken (FastSAM's Table 3)."""

SegmentFunction = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]


@dataclass(frozen=True)
class ProposalScores:
    """Class-less scores of one data set, each 0..1; nan where there is no object to find."""

    num_pictures: int
    num_objects: int
    """Labelled ones, crowds left out."""
    box_recall: dict[int, float]
    """AR over IoU 0.50:0.95 at 10, 100 and 1000 proposals a picture."""
    mask_recall: dict[int, float]
    box_recall_by_size: dict[str, float]
    """AR at 1000 of small (< 32² px), medium and large (> 96² px) objects."""
    mask_recall_by_size: dict[str, float]
    mask_precision: float
    """AP at 100 proposals a picture; low where labels are incomplete, whatever the model does."""
    mean_best_iou: float
    """Mean over objects of the best mask's IoU."""
    found_by_category: dict[str, float]
    """Share of objects with a mask of IoU >= 0.5, for the ten most frequent labels."""


def evaluate_proposals(
    segment: SegmentFunction,
    folder: Path,
    *,
    limit: int | None = None,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> ProposalScores:
    """Run a segmenter over a COCO-format folder and score what it finds, classes ignored.

    Args:
        segment: pictures to Instances; it should keep 1000 a picture at a very low score.
        folder: with `instances.json` and `images/`.
        limit: the most pictures to use, the first ones; None for all.
        on_picture: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing, broken or empty, or a picture is unreadable.
    """
    pictures = read_pictures(folder)[:limit]
    truth = _truth(pictures)
    results: list[dict[str, Any]] = []
    for position, picture in enumerate(pictures):
        results += _results(segment([read_image(picture)])[0], position)
        on_picture(position + 1, len(pictures))
    box = _evaluate(truth, results, "bbox")
    mask = _evaluate(truth, results, "segm")
    best = _best_ious(mask)
    by_label: dict[str, list[float]] = {}
    for annotation_id, iou in best.items():
        by_label.setdefault(truth.anns[annotation_id]["label"], []).append(iou)
    frequent = sorted(by_label, key=lambda label: -len(by_label[label]))[:10]
    return ProposalScores(
        num_pictures=len(pictures),
        num_objects=len(best),
        box_recall={limit: _recall(box, "all", limit) for limit in MAX_PROPOSALS},
        mask_recall={limit: _recall(mask, "all", limit) for limit in MAX_PROPOSALS},
        box_recall_by_size={size: _recall(box, size, MAX_PROPOSALS[-1]) for size in ("small", "medium", "large")},
        mask_recall_by_size={size: _recall(mask, size, MAX_PROPOSALS[-1]) for size in ("small", "medium", "large")},
        mask_precision=_precision(mask),
        mean_best_iou=float(np.mean(list(best.values()))) if best else float("nan"),
        found_by_category={label: float(np.mean(np.array(by_label[label]) >= 0.5)) for label in frequent},
    )


def _truth(pictures: Sequence[LabelledPicture]) -> COCO:
    """The folder with one category, pictures numbered from 0 and annotations from 1 (COCOeval takes id 0 for none)."""
    annotations: list[dict[str, Any]] = []
    for position, picture in enumerate(pictures):
        for annotation in picture.annotations:
            mask = annotation_mask(annotation, picture.size)
            height, width = mask.crop.shape
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": position,
                    "category_id": 1,
                    "label": annotation.label,
                    "iscrowd": int(annotation.is_crowd),
                    "area": mask.area if annotation.area is None else annotation.area,
                    "bbox": list(annotation.box or (mask.x, mask.y, width, height)),
                    "segmentation": crop_to_coco(mask, picture.size),
                }
            )
    images = [
        {"id": position, "height": picture.size[0], "width": picture.size[1]}
        for position, picture in enumerate(pictures)
    ]
    truth = COCO()
    truth.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _results(instances: Instances, image_id: int) -> list[dict[str, Any]]:
    """COCO results of one picture."""
    boxes = torch.cat([instances.boxes[:, :2], instances.boxes[:, 2:] - instances.boxes[:, :2]], dim=1)
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "score": score,
            "bbox": box,
            "segmentation": crop_to_coco(mask, instances.image_size),
        }
        for mask, box, score in zip(instance_masks(instances), boxes.tolist(), instances.scores.tolist(), strict=True)
    ]


def _evaluate(truth: COCO, results: list[dict[str, Any]], kind: str) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(results) if results else COCO()
        evaluation = COCOeval(truth, found, kind)
        evaluation.params.maxDets = list(MAX_PROPOSALS)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _recall(evaluation: COCOeval, size: str, limit: int) -> float:
    area = evaluation.params.areaRngLbl.index(size)
    values = evaluation.eval["recall"][:, :, area, MAX_PROPOSALS.index(limit)]
    return float(values[values > -1].mean()) if (values > -1).any() else float("nan")


def _precision(evaluation: COCOeval) -> float:
    values = evaluation.eval["precision"][:, :, :, 0, MAX_PROPOSALS.index(100)]
    return float(values[values > -1].mean()) if (values > -1).any() else float("nan")


def _best_ious(evaluation: COCOeval) -> dict[int, float]:
    """The best IoU of each labelled object that is no crowd, by annotation id."""
    best: dict[int, float] = {}
    for (image_id, _), ious in evaluation.ious.items():
        matrix = np.asarray(ious)  # (proposals, annotations), or empty
        for column, annotation in enumerate(evaluation._gts[image_id, 1]):
            if not annotation["iscrowd"]:
                best[annotation["id"]] = float(matrix[:, column].max()) if matrix.size else 0.0
    return best
