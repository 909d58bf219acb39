"""Boxes: areas, overlaps and non-maximum suppression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from streamseg.structures.arrays import BoolArray, Float32Array

__all__ = ["box_area", "box_intersection", "box_iou", "clip_boxes", "nms"]

_NMS_BLOCK = 128
"""Boxes that `nms` compares at once."""


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
    order = scores.argsort(descending=True, stable=True)
    sides = boxes[order].float().numpy(force=True)  # (N, 4); NumPy's calls cost a tenth of torch's at this size
    limit = len(order) if max_kept is None else max_kept
    kept = np.zeros(0, dtype=np.intp)
    # Blocks of boxes are compared with the boxes kept so far, then with each other: few calls, and no N x N matrix.
    for first in range(0, len(order), _NMS_BLOCK):
        block = np.arange(first, min(first + _NMS_BLOCK, len(order)))
        block = block[_are_apart(sides[kept], sides[block], iou).all(axis=0)]
        apart = _are_apart(sides[block], sides[block], iou)
        remains = np.ones(len(block), dtype=np.bool_)
        for row in range(len(block)):
            if remains[row]:
                remains[row + 1 :] &= apart[row, row + 1 :]
        kept = np.concatenate((kept, block[remains]))
        if len(kept) >= limit:
            break
    return order[torch.from_numpy(kept[:limit])]


def _are_apart(first: Float32Array, second: Float32Array, iou: float) -> BoolArray:
    """Return whether the IoU of boxes (N, 4) and (M, 4) xyxy is at most `iou`: (N, M)."""
    left, top, right, bottom = first.T[:, :, None]
    others = second.T[:, None]
    width = np.minimum(right, others[2]) - np.maximum(left, others[0])
    height = np.minimum(bottom, others[3]) - np.maximum(top, others[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    other_area = np.maximum(others[2] - others[0], 0) * np.maximum(others[3] - others[1], 0)
    # Avoids the quotient, which is undefined for two boxes without extent; they do not overlap.
    apart: BoolArray = shared <= iou * (area + other_area - shared)
    return apart
