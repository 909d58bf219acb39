"""How many labelled objects are found: average recall of class-less proposals, by COCO's own evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from streamseg.errors import DataError
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Instances

__all__ = ["ProposalScores", "evaluate_proposals"]

MAX_PROPOSALS = (10, 100, 1000)
"""Proposals per picture at which recall is taken (FastSAM's Table 3)."""

SegmentFunction = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]


@dataclass(frozen=True)
class ProposalScores:
    """Class-less scores of one data set, each 0..1."""

    num_pictures: int
    num_objects: int
    box_recall: dict[int, float]
    """AR over IoU 0.50:0.95 at 10, 100 and 1000 proposals a picture."""
    mask_recall: dict[int, float]
    box_recall_by_size: dict[str, float]
    """AR at 1000 of small (< 32² px), medium and large (> 96² px) objects."""
    mask_recall_by_size: dict[str, float]
    mask_precision: float
    """AP at 100; low where labels are incomplete, whatever the model does."""
    mean_best_iou: float
    """Mean over objects of the best mask's IoU."""
    found_by_category: dict[str, float]
    """Share of objects with a mask of IoU >= 0.5, for the ten most frequent categories."""


def evaluate_proposals(
    segment: SegmentFunction, folder: Path, *, on_picture: Callable[[int, int], None] = lambda done, total: None
) -> ProposalScores:
    """Run a segmenter over a COCO-format folder and score what it finds, classes ignored.

    Args:
        segment: pictures to Instances; it should keep 1000 a picture at a very low score.
        folder: with `instances.json` and `images/`.
        on_picture: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing or a picture is unreadable.
    """
    file = folder / "instances.json"
    if not file.is_file():
        raise DataError(f"{folder} is no COCO-format folder: instances.json is missing")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
    results: list[dict[str, Any]] = []
    image_ids = sorted(truth.imgs)
    for position, image_id in enumerate(image_ids):
        path = folder / "images" / truth.imgs[image_id]["file_name"]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise DataError(f"picture {path} is missing or unreadable")
        results += _results(segment([np.asarray(image, dtype=np.uint8)])[0], image_id)
        on_picture(position + 1, len(image_ids))
    box = _evaluate(truth, results, "bbox")
    mask = _evaluate(truth, results, "segm")
    best = _best_ious(mask)
    names = {annotation["id"]: annotation.get("source_category", "object") for annotation in truth.anns.values()}
    by_category: dict[str, list[float]] = {}
    for annotation_id, iou in best.items():
        by_category.setdefault(names[annotation_id], []).append(iou)
    frequent = sorted(by_category, key=lambda name: -len(by_category[name]))[:10]
    return ProposalScores(
        num_pictures=len(image_ids),
        num_objects=len(best),
        box_recall={limit: _recall(box, "all", limit) for limit in MAX_PROPOSALS},
        mask_recall={limit: _recall(mask, "all", limit) for limit in MAX_PROPOSALS},
        box_recall_by_size={size: _recall(box, size, MAX_PROPOSALS[-1]) for size in ("small", "medium", "large")},
        mask_recall_by_size={size: _recall(mask, size, MAX_PROPOSALS[-1]) for size in ("small", "medium", "large")},
        mask_precision=_precision(mask),
        mean_best_iou=float(np.mean(list(best.values()))) if best else 0.0,
        found_by_category={name: float(np.mean(np.array(by_category[name]) >= 0.5)) for name in frequent},
    )


def _results(instances: Instances, image_id: int) -> list[dict[str, Any]]:
    """COCO results of one picture. The full canvas is fine here: nobody waits for it."""
    results = []
    for mask, box, score in zip(
        instance_masks(instances), instances.boxes.tolist(), instances.scores.tolist(), strict=True
    ):
        full = np.asfortranarray(mask.full(instances.image_size).astype(np.uint8))
        x0, y0, x1, y1 = box
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "score": score,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": coco_mask.encode(full),
            }
        )
    return results


def _evaluate(truth: COCO, results: list[dict[str, Any]], kind: str) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        # loadRes derives the box from the mask unless there is none.
        chosen = [{k: v for k, v in one.items() if kind == "segm" or k != "segmentation"} for one in results]
        found = truth.loadRes(chosen) if chosen else COCO()
        evaluation = COCOeval(truth, found, kind)
        evaluation.params.useCats = 0
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
    for (image_id, category), ious in evaluation.ious.items():
        objects = [one for c in evaluation.params.catIds for one in evaluation._gts[image_id, c]]
        matrix = np.asarray(ious)
        for column, one in enumerate(objects):
            if not one.get("iscrowd", 0):
                best[one["id"]] = float(matrix[:, column].max()) if matrix.size else 0.0
        assert category == -1, "classes are ignored"
    return best
