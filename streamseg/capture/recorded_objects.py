"""Instances from the masks of a recording, for prompts that are answered without the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch

from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

__all__ = ["RecordedObject", "instances_from"]

STRIDE = 4
"""Pixels per cell of the grid of logits, as that of the networks."""

SCALE = 16.0
"""Logit of a cell that lies inside completely is half of it."""


class RecordedObject(NamedTuple):
    """An object of a recorded message."""

    mask: CropMask
    """In pixels of the image."""
    box: tuple[float, float, float, float]
    """Box xyxy in pixels of the image."""
    score: float


def instances_from(objects: Sequence[RecordedObject], image_size: tuple[int, int]) -> Instances:
    """Return recorded objects as instances, by descending score.

    The logits are the covered share of each cell of 4 x 4 pixels, so that outlines are kept to about a pixel, except
    parts that are thinner than half a cell. There are no embeddings and features: prompts follow by place and shape.

    Args:
        objects: 0 or more; those with an empty mask are skipped.
        image_size: size (H, W) of the image.
    """
    height, width = image_size
    grid = -(-height // STRIDE), -(-width // STRIDE)
    kept = sorted((one for one in objects if one.mask.crop.any()), key=lambda one: -one.score)
    logits = np.full((len(kept), *grid), -SCALE / 2, dtype=np.float32)
    for plane, one in zip(logits, kept, strict=True):
        _paint(plane, one.mask)
    boxes = np.array([one.box for one in kept], dtype=np.float32).reshape(-1, 4)
    return Instances(
        boxes=torch.from_numpy(np.clip(boxes, 0, (width, height, width, height)).astype(np.float32)),
        scores=torch.tensor([one.score for one in kept], dtype=torch.float32),
        mask_logits=torch.from_numpy(logits),
        grid_to_image=GridTransform(float(STRIDE), float(STRIDE), 0.0, 0.0),
        image_size=image_size,
    )


def _paint(plane: np.ndarray[tuple[int, ...], np.dtype[np.float32]], mask: CropMask) -> None:
    """Write the logits of a mask into the cells that its crop touches."""
    height, width = mask.crop.shape
    top, left = mask.y // STRIDE, mask.x // STRIDE
    bottom, right = -(-(mask.y + height) // STRIDE), -(-(mask.x + width) // STRIDE)
    cells = np.zeros(((bottom - top) * STRIDE, (right - left) * STRIDE), dtype=np.float32)
    y, x = mask.y - top * STRIDE, mask.x - left * STRIDE
    cells[y : y + height, x : x + width] = mask.crop
    share = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    plane[top:bottom, left:right] = (share.reshape(bottom - top, right - left) - 0.5) * SCALE
