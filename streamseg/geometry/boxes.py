"""Boxes: areas, overlaps and non-maximum suppression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from streamseg.structures.arrays import BoolArray, Float32Array, IndexArray

__all__ = ["box_area", "box_intersection", "box_iou", "clip_boxes", "nms", "nms_rows"]

_NMS_BLOCK = 96
"""Boxes that `nms` compares at once."""
_LATER = np.triu(np.ones((_NMS_BLOCK, _NMS_BLOCK), dtype=np.bool_), 1)
"""Of each box of a block, the ones after it."""


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clip boxes (..., 4) xyxy to an image of `size` (H, W)."""
    height, width = size
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limits)


def box_area(boxes: Tensor) -> Tensor:
    """Return the area (...) of boxes (..., 4) xyxy; 0 for a box without extent."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def box_intersection(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the intersection area (..., N, M) of boxes (..., N, 4) and (..., M, 4) xyxy; 0 for disjoint boxes."""
    width, height = (
        torch.minimum(boxes_a[..., :, None, high], boxes_b[..., None, :, high])
        - torch.maximum(boxes_a[..., :, None, low], boxes_b[..., None, :, low])
        for low, high in ((0, 2), (1, 3))
    )
    return width.clamp(min=0) * height.clamp(min=0)


def box_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the IoU (..., N, M) of boxes (..., N, 4) and (..., M, 4) xyxy; 0 if both are without extent."""
    intersection = box_intersection(boxes_a, boxes_b)
    union = box_area(boxes_a)[..., :, None] + box_area(boxes_b)[..., None, :] - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def nms(boxes: Tensor, scores: Tensor, iou: float, *, max_kept: int | None = None) -> Tensor:
    """Apply greedy non-maximum suppression, exact and without a time limit, on the CPU.

    Args:
        boxes: boxes (N, 4) xyxy.
        scores: scores (N,); equal scores keep their order.
        iou: remove boxes that overlap a kept box of higher score by more than this.
        max_kept: maximum number of boxes to keep; None keeps all.

    Returns:
        Indices of the kept boxes, int64 (K,), by descending score; K = 0 for N = 0.
    """
    kept = nms_rows(boxes.float().numpy(force=True), scores.float().numpy(force=True), iou, max_kept=max_kept)
    return torch.from_numpy(kept).to(boxes.device)


def nms_rows(boxes: Float32Array, scores: Float32Array, iou: float, *, max_kept: int | None = None) -> IndexArray:
    """Return the rows that `nms` keeps, from arrays and as an array (K,)."""
    # NumPy's calls cost a tenth of torch's at this size.
    order = np.argsort(-scores, kind="stable")
    limit = len(order) if max_kept is None else max_kept
    sides = np.ascontiguousarray(boxes[order].T)  # (4, N), best first
    areas = _areas(sides)
    kept = np.zeros(0, dtype=np.intp)  # columns of `sides`
    # Blocks of boxes are compared with the boxes kept so far and with each other: few calls, and no N x N matrix.
    for first in range(0, len(order), _NMS_BLOCK):
        block = np.arange(first, min(first + _NMS_BLOCK, len(order)))
        rows = np.concatenate((kept, block))
        clashes = _overlaps(sides[:, rows], areas[rows], sides[:, block], areas[block], iou)
        removed = np.logical_or.reduce(clashes[: len(kept)], axis=0)
        inside = clashes[len(kept) :]
        inside &= _LATER[: len(block), : len(block)]
        for row in np.flatnonzero(inside.any(axis=1)).tolist():
            if not removed[row]:
                removed |= inside[row]
        kept = np.concatenate((kept, block[~removed]))
        if len(kept) >= limit:
            break
    return order[kept[:limit]]


def _overlaps(
    first: Float32Array, first_areas: Float32Array, second: Float32Array, second_areas: Float32Array, iou: float
) -> BoolArray:
    """Return whether the IoU of boxes is above `iou`: (N, M).

    The boxes are given by their sides (4, N) and (4, M), and by their areas (N,) and (M,).
    """
    shared = np.minimum(first[2][:, None], second[2])
    shared -= np.maximum(first[0][:, None], second[0])
    np.maximum(shared, 0, out=shared)
    height = np.minimum(first[3][:, None], second[3])
    height -= np.maximum(first[1][:, None], second[1])
    shared *= np.maximum(height, 0, out=height)
    limit = first_areas[:, None] + second_areas
    limit -= shared
    limit *= np.float32(iou)
    # Avoids the quotient, which is undefined for two boxes without extent; they do not overlap.
    apart: BoolArray = shared <= limit
    return ~apart


def _areas(sides: Float32Array) -> Float32Array:
    areas: Float32Array = np.maximum(sides[2] - sides[0], 0) * np.maximum(sides[3] - sides[1], 0)
    return areas
