"""Decoded logits as masks at the size of the image."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.segmentation import instance_masks
from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.tiers.contract import BetterMask
from streamseg.tiers.quality.model import Decoded

__all__ = ["best_candidates", "decoded_masks", "extents", "tight"]


def best_candidates(decoded: Decoded) -> IndexArray:
    """Return the candidate (N,) of each query with the highest predicted IoU."""
    best: IndexArray = decoded.qualities.argmax(axis=1).astype(np.int64)
    return best


def decoded_masks(
    decoded: Decoded, image_size: tuple[int, int], candidates: IndexArray | None = None
) -> list[BetterMask]:
    """Return one mask per query at the size of the image; it may be empty.

    The logits are interpolated bilinearly from the grid to the pixels at once, and only where they are positive.
    transformers and segment-anything interpolate twice, to the model's canvas and then to the image, which rounds the
    outlines of a few pixels differently.

    Args:
        decoded: the logits.
        image_size: (H, W) of the image.
        candidates: (N,) the candidate to use of each query; None: the best one.
    """
    if candidates is None:
        candidates = best_candidates(decoded)
    rows = np.arange(len(candidates))
    logits, qualities = decoded.logits[rows, candidates], decoded.qualities[rows, candidates]
    instances = Instances(
        boxes=torch.from_numpy(extents(logits > 0, decoded.grid_to_image, image_size, margin=1)).float(),
        scores=torch.ones(len(rows)),
        mask_logits=torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float32)),
        grid_to_image=decoded.grid_to_image,
        image_size=image_size,
    )
    return [
        BetterMask(tight(mask), float(quality))
        for mask, quality in zip(instance_masks(instances), qualities.clip(0, 1), strict=True)
    ]


def extents(
    inside: BoolArray, grid_to_image: GridTransform, image_size: tuple[int, int], *, margin: int
) -> Float64Array:
    """Return a box (N, 4) xyxy in the image around the cells of each mask (N, h, w); zeros for an empty mask.

    Args:
        inside: the masks on a grid.
        grid_to_image: transform from the grid.
        image_size: (H, W) of the image, to which the boxes are clipped.
        margin: number of cells added on each side: with 1, no interpolated pixel is outside.
    """
    scale_x, scale_y, offset_x, offset_y = grid_to_image
    boxes = np.zeros((len(inside), 4))
    for box, one in zip(boxes, inside, strict=True):
        down, across = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        if len(down):
            left, right = across[0] - margin, across[-1] + 1 + margin
            top, bottom = down[0] - margin, down[-1] + 1 + margin
            box[0::2] = scale_x * left + offset_x, scale_x * right + offset_x
            box[1::2] = scale_y * top + offset_y, scale_y * bottom + offset_y
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, image_size[1])
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, image_size[0])
    return boxes


def tight(mask: CropMask) -> CropMask:
    """Return a mask with its crop reduced to the pixels inside."""
    down, across = np.flatnonzero(mask.crop.any(axis=1)), np.flatnonzero(mask.crop.any(axis=0))
    if not len(down):
        return CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0, mask.space)
    top, left = int(down[0]), int(across[0])
    crop = mask.crop[top : int(down[-1]) + 1, left : int(across[-1]) + 1]
    return CropMask(crop.copy(), mask.x + left, mask.y + top, mask.space)
