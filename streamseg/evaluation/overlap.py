"""IoU of all proposals with all labels of one image, as defined by COCO.

A crowd is a region of many objects. A proposal inside a crowd is not a mistake, so its overlap with a crowd is the
intersection divided by the proposal's own area instead of the union.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray
from streamseg.structures.mask import CropMask

__all__ = ["box_ious", "mask_iou", "mask_ious"]


def box_ious(boxes: Float64Array, truth_boxes: Float64Array, is_crowd: BoolArray) -> Float64Array:
    """Return the IoU (D, G) of boxes (D, 4) with labelled boxes (G, 4), xyxy; 0 for boxes without extent."""
    low = np.maximum(boxes[:, None, :2], truth_boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truth_boxes[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)  # (D, G)
    area, truth_area = ((some[:, 2] - some[:, 0]) * (some[:, 3] - some[:, 1]) for some in (boxes, truth_boxes))
    union = area[:, None] + np.where(is_crowd, 0.0, truth_area - shared)
    return _ratio(shared, union)


def mask_ious(masks: Sequence[CropMask], truth_masks: Sequence[CropMask], is_crowd: BoolArray) -> Float64Array:
    """Return the IoU (D, G) of masks with labelled masks of the same image; 0 if either is empty."""
    spans, truth_spans = _spans(masks), _spans(truth_masks)
    low = np.maximum(spans[:, None, :2], truth_spans[None, :, :2])
    high = np.minimum(spans[:, None, 2:], truth_spans[None, :, 2:])
    # Only pairs with overlapping crops can intersect: few of a thousand masks and a dozen objects.
    pairs = np.argwhere((high > low).all(axis=2))
    shared = np.zeros(low.shape[:2])
    for row, column in pairs.tolist():
        shared[row, column] = _shared(masks[row], truth_masks[column])
    area = np.array([mask.area for mask in masks], dtype=np.float64)
    truth_area = np.array([mask.area for mask in truth_masks], dtype=np.float64)
    union = area[:, None] + np.where(is_crowd, 0.0, truth_area - shared)
    return _ratio(shared, union)


def mask_iou(mask: CropMask, other: CropMask) -> float:
    """Return the IoU of two masks; 0 if either is empty."""
    shared = _shared(mask, other)
    return shared / (mask.area + other.area - shared) if shared else 0.0


def _shared(mask: CropMask, other: CropMask) -> int:
    """Count the pixels in both masks."""
    left, top = max(mask.x, other.x), max(mask.y, other.y)
    right = min(mask.x + mask.crop.shape[1], other.x + other.crop.shape[1])
    bottom = min(mask.y + mask.crop.shape[0], other.y + other.crop.shape[0])
    if right <= left or bottom <= top:
        return 0
    return int(
        np.count_nonzero(
            mask.crop[top - mask.y : bottom - mask.y, left - mask.x : right - mask.x]
            & other.crop[top - other.y : bottom - other.y, left - other.x : right - other.x]
        )
    )


def _ratio(shared: Float64Array, union: Float64Array) -> Float64Array:
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0), dtype=np.float64)


def _spans(masks: Sequence[CropMask]) -> IndexArray:
    """Return the extents of the crops, (N, 4) xyxy."""
    return np.array(
        [(mask.x, mask.y, mask.x + mask.crop.shape[1], mask.y + mask.crop.shape[0]) for mask in masks], dtype=np.int64
    ).reshape(-1, 4)
