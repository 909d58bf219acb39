"""Non-maximum suppression of raw detections, class by class."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.geometry import nms
from streamseg.structures.arrays import Float32Array, IndexArray

__all__ = ["suppressed"]


def suppressed(
    boxes: Float32Array, scores: Float32Array, threshold: float, iou: float, max_detections: int
) -> tuple[Float32Array, Float32Array, IndexArray]:
    """Return the detections that are left of raw ones: class by class, overlapping ones are suppressed.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N, C), 0..1.
        threshold: minimum score.
        iou: overlap above which the box with the lower score is suppressed.
        max_detections: maximum number of detections.

    Returns:
        Boxes (M, 4), scores (M,), descending, and classes (M,).
    """
    anchors, classes = np.nonzero(scores >= threshold)
    chosen = scores[anchors, classes]
    kept: list[int] = []
    for one in np.unique(classes).tolist():
        members = np.flatnonzero(classes == one)
        left = nms(torch.from_numpy(boxes[anchors[members]]), torch.from_numpy(chosen[members]), iou)
        kept += members[left.numpy()].tolist()
    kept.sort(key=lambda position: -float(chosen[position]))
    final = np.array(kept[:max_detections], np.int64)
    return boxes[anchors[final]], chosen[final], classes[final].astype(np.int64)
