"""How well masks follow the outlines of objects: boundary IoU.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", 2021: the IoU of two
masks counted only within a distance of their own outlines, 2 % of the image's diagonal. On a large object a
mask's IoU hardly tells whether the outline is right, because nearly all pixels lie inside; this does. Where
an object is thinner than twice the distance, all of it is outline, and boundary IoU is the masks' IoU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.evaluation.overlap import mask_iou, mask_ious
from streamseg.evaluation.prompted import box_prompt, selected_masks
from streamseg.evaluation.truth import OnImage, SegmentFunction, labelled_images, size_masks
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.message import CropMask
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
"""Width of the band as a share of the image's diagonal: the paper's value for COCO."""
FOUND_IOU = 0.5
"""Mask IoU from which an object counts as found, so that its outline says something about masks alone."""
SIDE_BINS = (0, 16, 32, 64, 96, 128, 192, 256, 100_000)
"""Roots of areas in pixels between which objects are put together for the curve."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OutlineScores:
    """Outlines of the masks of some objects; nan where there is none."""

    num_objects: int
    boundary_iou: float
    """Mean, 0..1."""
    boundary_iou_by_size: dict[str, float]
    mask_iou: float
    """Mean over the same objects, 0..1."""
    mask_iou_by_size: dict[str, float]


@dataclass(frozen=True)
class BoundaryScores:
    """Outlines in one data set."""

    num_images: int
    num_objects: int
    """Labelled ones, crowds and empty masks left out."""
    prompted: OutlineScores
    """Masks that answer the labelled box, over all objects; 0 without an answer."""
    best: OutlineScores
    """Masks of the best IoU, over all objects; 0 where nothing overlaps."""
    found: OutlineScores
    """The same over the objects found with an IoU of 0.5 or more: what masks are like, whatever was missed."""
    by_side_px: dict[str, tuple[int, float, float]]
    """Of the objects found, by the least root of the area: how many, mean boundary IoU, mean mask IoU."""


def evaluate_boundary(
    segment: SegmentFunction,
    folder: Path,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> BoundaryScores:
    """Run a segmenter over a COCO-format folder and judge its outlines.

    Args:
        segment: images to Instances; it should keep a thousand an image at a very low score.
        folder: with `instances.json` and `images/`.
        limit: the most images to use, the first ones; None for all.
        on_image: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing, broken or empty, or an image is unreadable.
    """
    rows: list[tuple[float, float, float, float, float]] = []
    num_images = 0
    for image, truth in labelled_images(folder, limit=limit, on_image=on_image):
        instances = segment([image])[0]
        distance_px = boundary_distance_px((image.shape[0], image.shape[1]))
        wanted = truth.objects
        prompts: list[Prompt] = [box_prompt(truth, row) for row in wanted]
        masks = instance_masks(instances)
        targets = [truth.masks[row] for row in wanted]
        ious = mask_ious(masks, targets, np.zeros(len(targets), dtype=np.bool_))  # (D, N)
        for column, (target, prompted) in enumerate(zip(targets, selected_masks(instances, prompts), strict=True)):
            best = masks[int(ious[:, column].argmax())] if len(masks) else None
            rows.append(
                (
                    float(truth.areas[wanted[column]]),
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


def score_outlines(ious: Floats, boundary_ious: Floats, areas: Floats) -> OutlineScores:
    """Means over objects of areas (N,) pixels, whose masks have these IoUs (N,); N may be 0."""
    sizes = size_masks(areas)
    return OutlineScores(
        num_objects=len(ious),
        boundary_iou=_mean(boundary_ious),
        boundary_iou_by_size={name: _mean(boundary_ious[chosen]) for name, chosen in sizes.items()},
        mask_iou=_mean(ious),
        mask_iou_by_size={name: _mean(ious[chosen]) for name, chosen in sizes.items()},
    )


def boundary_distance_px(size: tuple[int, int], *, ratio: float = DILATION_RATIO) -> int:
    """How far the band of outlines reaches in an image of (H, W), at least one pixel."""
    return max(round(ratio * float(np.hypot(*size))), 1)


def outline_band(mask: CropMask, distance_px: int) -> CropMask:
    """The pixels of a mask within `distance_px` of its outline, the image's border being outline, too.

    Distance is counted in king's moves (the larger of rows and columns), as in the authors' program, which
    erodes with a square.
    """
    if not mask.crop.size:
        return mask
    padded = np.pad(mask.crop, 1).astype(np.uint8)
    kernel = np.ones((2 * distance_px + 1, 2 * distance_px + 1), dtype=np.uint8)
    inside = cv2.erode(padded, kernel)[1:-1, 1:-1].astype(np.bool_)
    return CropMask(mask.crop & ~inside, mask.x, mask.y)


def boundary_iou(mask: CropMask, other: CropMask, distance_px: int) -> float:
    """IoU of the bands of two masks; 0 where either is empty."""
    return mask_iou(outline_band(mask, distance_px), outline_band(other, distance_px))


def _ious(mask: CropMask | None, target: CropMask, distance_px: int) -> tuple[float, float]:
    """Mask IoU and boundary IoU; 0 without a mask."""
    return (0.0, 0.0) if mask is None else (mask_iou(mask, target), boundary_iou(mask, target, distance_px))


def _by_side(ious: Floats, boundary_ious: Floats, areas: Floats) -> dict[str, tuple[int, float, float]]:
    places = np.digitize(np.sqrt(areas), SIDE_BINS) - 1
    return {
        str(SIDE_BINS[place]): (
            int((places == place).sum()),
            _mean(boundary_ious[places == place]),
            _mean(ious[places == place]),
        )
        for place in range(len(SIDE_BINS) - 1)
    }


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
