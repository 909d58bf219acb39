"""Duplicates: second outlines of one object rank behind everything that is shown for the first time.

Non-maximum suppression removes a box that overlaps a better one; what it leaves still contains second outlines of the
same object, such as a person with and without the bag. Removing more would lose objects in crowds. As in Soft-NMS
(arXiv 1704.04503), their scores are reduced instead, but by the overlap of the masks: a part has little in common with
its whole, and an object nothing with the one beside it, however much their boxes overlap.

The reduced scores are for ranking alone. For prompts, the score of a mask is its expected IoU, whatever else is found.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import box_iou, raster_logits
from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import WIDENED_CELLS

__all__ = ["ranking_scores", "unclaimed_shares"]

UNCLAIMED_EXPONENT: Final = 0.25
"""Exponent of the share of a mask that no better ranked one shows, in its score. Chosen from 0 to 1 on six rendered
scenes and 41 held-out images: 0.5 is better for AP50 on the scenes, but costs recall, because the second outline is
sometimes the better one."""
MIN_SHARE: Final = 0.05
"""Lower limit of that share, so that equal masks keep some of their score."""
MIN_BOX_IOU: Final = 0.2
"""Masks are compared if their boxes overlap at least by this: a lesser overlap would hardly change a score."""
STEP: Final = 2
"""Cells of the masks' rasters per sample along a side."""


def ranking_scores(instances: Instances) -> Tensor:
    """Return the scores of K instances by which they should be ranked, also among several images: float32 (K,), 0..1.

    Each is the instance's score times a power of the share of its mask that no better one shows. They are not in
    descending order. Costs 0.2 ms for 30 objects.

    Args:
        instances: K instances on any device; 0 give an empty tensor.
    """
    samples = instances.samples
    known = None if samples is None else samples.widened
    widened = raster_logits(instances, WIDENED_CELLS, margin=CORRECTION_MARGIN) if known is None else known
    masks = (widened > 0).numpy(force=True)
    if instances.corrections is None:  # masks end at their boxes
        places = (np.arange(WIDENED_CELLS) + 0.5) / WIDENED_CELLS * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN
        inside = (places >= 0) & (places < 1)
        masks = masks & inside[:, None] & inside
    scores, boxes = instances.scores.numpy(force=True), instances.boxes.numpy(force=True)
    shares = unclaimed_shares(scores, boxes, masks)
    return torch.from_numpy(scores * shares**UNCLAIMED_EXPONENT)


def unclaimed_shares(scores: Float32Array, boxes: Float32Array, masks: BoolArray) -> Float32Array:
    """Return 1 minus the largest IoU of each mask with one of a higher score, at least `MIN_SHARE`: float32 (K,).

    IoUs are accurate to 0.2 at worst, typically to 0.05. Of equal scores, the earlier row is the better one.

    Args:
        scores: (K,), in any order; K may be 0.
        boxes: (K, 4) xyxy.
        masks: bool (K, R, R), R even, over the boxes and `CORRECTION_MARGIN` around them.
    """
    count, raster = masks.shape[:2]
    shares = np.ones(count, dtype=np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]  # (K, 2)
    extents = sides.prod(axis=1)
    near = (box_iou(torch.from_numpy(boxes), torch.from_numpy(boxes)) >= MIN_BOX_IOU).numpy()
    ranks = np.empty(count, dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(count)
    worse, better = np.nonzero(near & (ranks[:, None] > ranks[None, :]))  # (Q,) each
    if not len(worse):
        return shares
    # The samples of the worse mask, and the cells of the better one in which they lie.
    places = ((np.arange(STEP // 2, raster, STEP) + 0.5) / raster * (1 + 2 * CORRECTION_MARGIN)).astype(np.float32)
    low = boxes[:, :2] - CORRECTION_MARGIN * sides  # corner of the raster, (K, 2)
    scale = raster / np.maximum((1 + 2 * CORRECTION_MARGIN) * sides, 1e-6)
    points = low[worse, :, None] + sides[worse, :, None] * places  # (Q, 2, S)
    cells = np.floor((points - low[better, :, None]) * scale[better, :, None]).astype(np.int64)
    outside = (cells < 0) | (cells >= raster)
    cells[outside] = 0
    index = (better * raster)[:, None] + cells[:, 1]  # (Q, S) rows of the better masks
    inside = masks.reshape(-1)[(index * raster)[:, :, None] + cells[:, 0][:, None, :]]  # (Q, S, S)
    inside &= masks[:, STEP // 2 :: STEP, STEP // 2 :: STEP][worse]
    inside &= ~(outside[:, 1][:, :, None] | outside[:, 0][:, None, :])
    cell = extents * ((1 + 2 * CORRECTION_MARGIN) / raster) ** 2  # area of a cell, (K,)
    areas = np.count_nonzero(masks.reshape(count, -1), axis=1) * cell
    both = np.count_nonzero(inside.reshape(len(worse), -1), axis=1) * (cell[worse] * STEP**2)
    ious = both / np.maximum(areas[worse] + areas[better] - both, 1e-6)
    np.minimum.at(shares, worse, (1 - ious).astype(np.float32))
    return np.maximum(shares, np.float32(MIN_SHARE))
