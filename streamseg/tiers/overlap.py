"""Overlap of a tier's masks and boxes with the instances of a frame."""

from __future__ import annotations

from typing import Final

import torch

from streamseg.geometry import box_iou
from streamseg.propagation import mask_iou
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

__all__ = ["MIN_AGREEMENT", "agreeing_row", "row_mask"]

MIN_AGREEMENT: Final = 0.5
"""Minimum IoU of a mask with that of an instance which shows the same object."""
MIN_BOX_IOU: Final = 0.3
"""Minimum IoU of the boxes of two masks that are compared."""
MAX_COMPARED: Final = 3
"""Maximum number of instances whose masks are compared, those with the best boxes first."""


def row_mask(instances: Instances, row: int) -> CropMask:
    """Return the mask of one instance at the size of the image."""
    return instance_masks(instances, [row], size=instances.image_size)[0]


def agreeing_row(
    instances: Instances, mask: CropMask, *, first: int | None = None, min_iou: float = MIN_AGREEMENT
) -> int | None:
    """Return the row of the instance whose mask has the best IoU with a mask; None if none reaches the minimum.

    Args:
        instances: K instances; K may be 0.
        mask: a mask with a known space.
        first: a row that is returned if it reaches the minimum, without a look at the others.
        min_iou: minimum IoU of the masks.
    """
    if not mask.area or not len(instances):
        return None
    if first is not None and mask_iou(row_mask(instances, first), mask) >= min_iou:
        return first
    overlaps = box_iou(torch.tensor([mask.crop_box]), instances.boxes.to("cpu"))[0]
    best = overlaps.topk(min(MAX_COMPARED, len(overlaps)))
    rows = [row for row, iou in zip(best.indices.tolist(), best.values.tolist(), strict=True) if iou >= MIN_BOX_IOU]
    if not rows:
        return None
    masks = instance_masks(instances, rows, size=instances.image_size)
    ious = [mask_iou(one, mask) for one in masks]
    top = max(range(len(rows)), key=ious.__getitem__)
    return rows[top] if ious[top] >= min_iou else None
