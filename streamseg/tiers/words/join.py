"""Join detections with the instances of a frame, by the overlap of masks and boxes."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from streamseg.geometry import box_iou
from streamseg.propagation import mask_iou
from streamseg.segmentation import instance_masks
from streamseg.structures.arrays import Float64Array
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.tiers.words.detector import Detections

__all__ = ["MIN_OVERLAP", "Joined", "join"]

MIN_OVERLAP: Final = 0.5
"""Minimum overlap of a detection and an instance that show the same object: the usual IoU of a correct detection."""
MAX_SIDE: Final = 320
"""Long side in pixels of the masks that are compared with boxes."""


class Joined(NamedTuple):
    """One instance that shows a detection."""

    row: int
    """Row of the instance."""
    text: int
    """Position of the text."""
    score: float
    """Score of the detection, 0..1."""


def join(instances: Instances, detections: Detections) -> list[Joined]:
    """Return the instances that show the detections, in the order of their scores.

    Each detection joins one instance at most, and each instance one detection per text: the pairs with the greatest sum
    of overlaps. The overlap with a box is the IoU of the box with that of the mask, multiplied by the share of the mask
    inside it, so that a part does not take the label of its whole, nor an object that sticks out of the box. With masks
    it is their IoU.

    Args:
        instances: K instances; K may be 0.
        detections: N detections; N may be 0.
    """
    if not len(instances) or not len(detections):
        return []
    overlaps = _overlaps(instances, detections)
    joined = []
    for text in np.unique(detections.texts).tolist():
        chosen = np.flatnonzero(detections.texts == text)
        # An overlap below the minimum must not displace a sufficient one.
        weights = np.where(overlaps[chosen] >= MIN_OVERLAP, overlaps[chosen], 0.0)
        for position, row in zip(*linear_sum_assignment(weights, maximize=True), strict=True):
            if weights[position, row] > 0:
                joined.append(Joined(int(row), text, float(detections.scores[chosen[position]])))
    return sorted(joined, key=lambda one: -one.score)


def _overlaps(instances: Instances, detections: Detections) -> Float64Array:
    """Return the overlap (N, K), 0..1, of each detection with each instance; 0 for boxes far apart."""
    ious = box_iou(torch.from_numpy(detections.boxes), instances.boxes.to("cpu")).numpy().astype(np.float64)
    near = ious >= MIN_OVERLAP if detections.masks is None else ious > 0
    rows = np.flatnonzero(near.any(axis=0)).tolist()
    height, width = instances.image_size
    scale = min(MAX_SIDE / max(height, width), 1.0) if detections.masks is None else 1.0
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    masks = dict(zip(rows, instance_masks(instances, rows, size=size), strict=True)) if rows else {}
    overlaps = np.zeros_like(ious)
    for position, row in zip(*np.nonzero(near), strict=True):
        if detections.masks is not None:
            overlaps[position, row] = mask_iou(detections.masks[position], masks[row])
        else:
            overlaps[position, row] = ious[position, row] * _share_inside(masks[row], detections.boxes[position])
    return overlaps


def _share_inside(mask: CropMask, box: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    """Return the share of a mask's pixels whose centres are inside a box (4,) xyxy of the image; 0 if it is empty."""
    if mask.space is None or not mask.area:
        return 0.0
    scale_x, scale_y, offset_x, offset_y = mask.space.to_image
    x0, x1 = ((box[[0, 2]] - offset_x) / scale_x - 0.5 - mask.x).tolist()
    y0, y1 = ((box[[1, 3]] - offset_y) / scale_y - 0.5 - mask.y).tolist()
    rows = slice(max(int(np.ceil(y0)), 0), max(int(np.floor(y1)) + 1, 0))
    columns = slice(max(int(np.ceil(x0)), 0), max(int(np.floor(x1)) + 1, 0))
    return int(np.count_nonzero(mask.crop[rows, columns])) / mask.area
