"""Boundary IoU: accuracy of masks along the outlines of objects.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", 2021: the IoU of two masks
restricted to pixels within a distance of their own outlines, 2 % of the image diagonal. On a large object, mask IoU
hardly depends on the outline because nearly all pixels lie inside; boundary IoU does. If an object is thinner than
twice the distance, all of it is outline and boundary IoU equals mask IoU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamseg.datasets.problems import Problems
from streamseg.datasets.subset import ImageList
from streamseg.evaluation.overlap import mask_iou, mask_ious
from streamseg.evaluation.prompted import box_prompt, selected_masks
from streamseg.evaluation.truth import OnImage, SegmentImages, labelled_images, size_masks
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import Float64Array
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import Prompt

__all__ = [
    "BoundaryScores",
    "OutlineScores",
    "boundary_distance_px",
    "boundary_iou",
    "evaluate_boundary",
    "outline_band",
    "score_outlines",
]

DILATION_RATIO = 0.02
"""Width of the band as a share of the image diagonal: the paper's value for COCO."""
FOUND_IOU = 0.5
"""Minimum mask IoU of an object that counts as found, so that its outline reflects mask quality alone."""
SIDE_BINS = (0, 16, 32, 64, 96, 128, 192, 256, 100_000)
"""Borders of the size bins of the curve: square roots of areas in pixels."""


@dataclass(frozen=True)
class OutlineScores:
    """Outline scores of a group of objects; nan if the group is empty."""

    num_objects: int
    boundary_iou: float
    """Mean, 0..1."""
    boundary_iou_by_size: dict[str, float]
    mask_iou: float
    """Mean over the same objects, 0..1."""
    mask_iou_by_size: dict[str, float]


@dataclass(frozen=True)
class BoundaryScores:
    """Outline scores of one data set."""

    num_images: int
    num_objects: int
    """Number of labelled objects without crowds and empty masks."""
    prompted: OutlineScores
    """Masks selected by the labelled box, over all objects; 0 if nothing was selected."""
    best: OutlineScores
    """Masks with the best IoU, over all objects; 0 if nothing overlaps."""
    found: OutlineScores
    """Masks with the best IoU, over the objects found with an IoU of at least 0.5: mask quality without misses."""
    by_side_px: dict[str, tuple[int, float, float]]
    """Number, mean boundary IoU and mean mask IoU of the found objects, by the lower border of the size bin."""


def evaluate_boundary(
    segment: SegmentImages,
    folder: Path | ImageList,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
) -> BoundaryScores:
    """Run a segmenter over a COCO-format folder and score its outlines.

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
    rows: list[tuple[float, float, float, float, float]] = []
    num_images = 0
    for image, truth in labelled_images(folder, limit=limit, on_image=on_image, problems=problems):
        instances = segment([image])[0]
        distance_px = boundary_distance_px((image.shape[0], image.shape[1]))
        objects = truth.objects
        prompts: list[Prompt] = [box_prompt(truth, row) for row in objects]
        masks = instance_masks(instances, as_pixels=True)
        targets = [truth.masks[row] for row in objects]
        ious = mask_ious(masks, targets, np.zeros(len(targets), dtype=np.bool_))  # (D, N)
        for column, (target, prompted) in enumerate(zip(targets, selected_masks(instances, prompts), strict=True)):
            best = masks[int(ious[:, column].argmax())] if len(masks) else None
            rows.append(
                (
                    float(truth.areas[objects[column]]),
                    *_ious(prompted, target, distance_px),
                    *_ious(best, target, distance_px),
                )
            )
        num_images += 1
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    areas, prompted_iou, prompted_boundary, best_iou, best_boundary = table.T
    found = best_iou >= FOUND_IOU
    return BoundaryScores(
        num_images=num_images,
        num_objects=len(table),
        prompted=score_outlines(prompted_iou, prompted_boundary, areas),
        best=score_outlines(best_iou, best_boundary, areas),
        found=score_outlines(best_iou[found], best_boundary[found], areas[found]),
        by_side_px=_by_side(best_iou[found], best_boundary[found], areas[found]),
    )


def score_outlines(ious: Float64Array, boundary_ious: Float64Array, areas: Float64Array) -> OutlineScores:
    """Return means over objects with these IoUs (N,) and areas (N,) in pixels; N may be 0."""
    sizes = size_masks(areas)
    return OutlineScores(
        num_objects=len(ious),
        boundary_iou=_mean(boundary_ious),
        boundary_iou_by_size={name: _mean(boundary_ious[chosen]) for name, chosen in sizes.items()},
        mask_iou=_mean(ious),
        mask_iou_by_size={name: _mean(ious[chosen]) for name, chosen in sizes.items()},
    )


def boundary_distance_px(size: tuple[int, int], *, ratio: float = DILATION_RATIO) -> int:
    """Return the width of the outline band in an image of size (H, W), at least one pixel."""
    return max(round(ratio * float(np.hypot(*size))), 1)


def outline_band(mask: CropMask, distance_px: int) -> CropMask:
    """Return the pixels of a mask within `distance_px` of its outline; the image border counts as outline.

    The distance is the chessboard distance (the larger of rows and columns), as in the authors' program, which
    erodes with a square.
    """
    if not mask.crop.size:
        return mask
    padded = np.pad(mask.crop, 1).astype(np.uint8)
    kernel = np.ones((2 * distance_px + 1, 2 * distance_px + 1), dtype=np.uint8)
    inside = cv2.erode(padded, kernel)[1:-1, 1:-1].astype(np.bool_)
    return CropMask(mask.crop & ~inside, mask.x, mask.y)


def boundary_iou(mask: CropMask, other: CropMask, distance_px: int) -> float:
    """Return the IoU of the outline bands of two masks; 0 if either is empty."""
    return mask_iou(outline_band(mask, distance_px), outline_band(other, distance_px))


def _ious(mask: CropMask | None, target: CropMask, distance_px: int) -> tuple[float, float]:
    """Return mask IoU and boundary IoU; 0 if there is no mask."""
    return (0.0, 0.0) if mask is None else (mask_iou(mask, target), boundary_iou(mask, target, distance_px))


def _by_side(
    ious: Float64Array, boundary_ious: Float64Array, areas: Float64Array
) -> dict[str, tuple[int, float, float]]:
    places = np.digitize(np.sqrt(areas), SIDE_BINS) - 1
    return {
        str(SIDE_BINS[place]): (
            int((places == place).sum()),
            _mean(boundary_ious[places == place]),
            _mean(ious[places == place]),
        )
        for place in range(len(SIDE_BINS) - 1)
    }


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if len(values) else float("nan")
