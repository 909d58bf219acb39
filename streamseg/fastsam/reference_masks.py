"""Boxes and masks as the official FastSAM program makes them, with its peculiarities.

    instances ─► as_reference ─► native_masks (retina) or plain_masks ─► stacked

Not reproduced: the detections that the official program loses to a wall-clock limit in its NMS, or by turning every
exception into None. The masks are those of the program since June 2024, which are also those of ultralytics 8.2.
Before, and in ultralytics 8.0, the logits passed through a sigmoid before they were upsampled, which makes small masks
slightly smaller. `instance_masks` makes better masks; these functions are for users who depend on FastSAM's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import box_iou, clip_boxes
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

__all__ = ["as_reference", "native_masks", "plain_masks", "plain_size", "snap_full_image", "stacked"]

SNAP_PX = 20
"""Box edges nearer to the border than this snap to it; pixels of the network's input."""
FULL_IMAGE_IOU = 0.9
"""A box whose IoU with the whole input exceeds this becomes the whole input."""

_EMPTY = np.zeros((0, 0), dtype=np.bool_)

InstancesT = TypeVar("InstancesT", bound=Instances)


def snap_full_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Apply the rule for objects that fill the image to all boxes.

    Every edge within `SNAP_PX` of the border snaps to the border, even of small objects. Then each box whose IoU with
    the whole is above `FULL_IMAGE_IOU` becomes the whole. If several boxes qualify, all become the whole; the official
    program raises in this case, and returns None.

    Args:
        boxes: (N, 4) xyxy; not modified (the official program modifies them in place).
        size: (H, W) of the space of the boxes; in the official program the network's input, padding included.
    """
    height, width = size
    x0, y0, x1, y1 = boxes.unbind(dim=1)
    snapped = torch.stack(
        [
            torch.where(x0 < SNAP_PX, 0, x0),
            torch.where(y0 < SNAP_PX, 0, y0),
            torch.where(x1 > width - SNAP_PX, width, x1),
            torch.where(y1 > height - SNAP_PX, height, y1),
        ],
        dim=1,
    )
    whole = boxes.new_tensor([[0, 0, width, height]])
    return torch.where(box_iou(snapped, whole) > FULL_IMAGE_IOU, whole, snapped)


def as_reference(instances: InstancesT) -> InstancesT:
    """Return the same rows with the official program's boxes.

    The full-image rule is applied in the network's input. The boxes are mapped to the image by one gain for both axes;
    streamseg uses the exact size of the scaled image. The difference is at most half a pixel of the input. An edge at
    the border of the image stays there.
    """
    grid_height, grid_width = instances.mask_logits.shape[1:]
    height, width = instances.image_size
    if not len(instances):
        return instances
    size = (grid_height * PROTOTYPE_STRIDE, grid_width * PROTOTYPE_STRIDE)
    gain = min(size[0] / height, size[1] / width)
    left, top = round((size[1] - width * gain) / 2 - 0.1), round((size[0] - height * gain) / 2 - 0.1)
    padding = instances.boxes.new_tensor([left, top] * 2)
    border = instances.boxes.new_tensor([0, 0, width, height])
    boxes = clip_boxes(
        (snap_full_image(_on_grid(instances) * PROTOTYPE_STRIDE, size) - padding) / gain, (height, width)
    )
    # Corrections apply only to the boxes that they were made for, and the official program has none.
    return replace(instances, boxes=torch.where(instances.boxes == border, border, boxes), corrections=None)


def native_masks(instances: Instances) -> list[CropMask]:
    """Return the masks of `retina_masks=True`, at the size of the image.

    The padding is removed from the logits in whole cells, its size rounded down, which shifts masks by up to a cell.
    The rest is stretched over the image by bilinear interpolation. A pixel is inside if its logit is above 0 and its
    index lies in the box, x0 <= x < x1 (its centre does not matter).

    Returns:
        One mask per row; an empty mask has a crop of shape (0, 0) at (0, 0).
    """
    height, width = instances.image_size
    grid_height, grid_width = instances.mask_logits.shape[1:]
    gain = min(grid_height / height, grid_width / width)
    pad_x, pad_y = (grid_width - width * gain) / 2, (grid_height - height * gain) / 2
    content = instances.mask_logits[:, int(pad_y) : int(grid_height - pad_y), int(pad_x) : int(grid_width - pad_x)]
    masks = []
    for logits, box in zip(_as_numpy(content), instances.boxes.tolist(), strict=True):
        left, top, right, bottom = _indices(box, (height, width))
        if left >= right or top >= bottom:
            masks.append(CropMask(_EMPTY, 0, 0))
            continue
        step_x, step_y = logits.shape[1] / width, logits.shape[0] / height
        matrix = np.array(
            [[step_x, 0, step_x * (left + 0.5) - 0.5], [0, step_y, step_y * (top + 0.5) - 0.5]], dtype=np.float64
        )
        sampled = cv2.warpAffine(
            logits,
            matrix,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        masks.append(_crop_mask(np.asarray(sampled) > 0, left, top))
    return masks


def plain_size(instances: Instances) -> tuple[int, int]:
    """Return (H, W) of `plain_masks`: the size of the network's input, padding included."""
    return instances.mask_logits.shape[1] * PROTOTYPE_STRIDE, instances.mask_logits.shape[2] * PROTOTYPE_STRIDE


def plain_masks(instances: Instances) -> list[CropMask]:
    """Return the masks of `retina_masks=False`, at the size of the network's input, padding included.

    The logits are cropped to the box on the prototype grid (0 outside) and then upsampled by bilinear interpolation;
    a mask therefore leaks out of its box by up to a cell. Unlike in the official program, the box has been clipped at
    the border of the image before, and no mask reaches far into the padding.

    Returns:
        One mask per row, in `plain_size`; an empty mask has a crop of shape (0, 0) at (0, 0).
    """
    grid_height, grid_width = instances.mask_logits.shape[1:]
    masks = []
    for logits, box in zip(_as_numpy(instances.mask_logits), _on_grid(instances).tolist(), strict=True):
        left, top, right, bottom = _indices(box, (grid_height, grid_width))
        if left >= right or top >= bottom:
            masks.append(CropMask(_EMPTY, 0, 0))
            continue
        # Interpolation reaches one cell of zeros around the box, and none beyond the border of the grid.
        first_x, first_y = max(left - 1, 0), max(top - 1, 0)
        window = np.zeros((min(bottom + 1, grid_height) - first_y, min(right + 1, grid_width) - first_x), np.float32)
        window[top - first_y : bottom - first_y, left - first_x : right - first_x] = logits[top:bottom, left:right]
        size = (window.shape[1] * PROTOTYPE_STRIDE, window.shape[0] * PROTOTYPE_STRIDE)
        upsampled = cv2.resize(window, size, interpolation=cv2.INTER_LINEAR)
        masks.append(_crop_mask(np.asarray(upsampled) > 0, first_x * PROTOTYPE_STRIDE, first_y * PROTOTYPE_STRIDE))
    return masks


def stacked(masks: Sequence[CropMask], size: tuple[int, int]) -> BoolArray:
    """Return all masks at full size, bool (K, H, W) for `size` (H, W): 2 MB each at 1080p."""
    canvas = np.zeros((len(masks), *size), dtype=np.bool_)
    for row, mask in enumerate(masks):
        height, width = mask.crop.shape
        canvas[row, mask.y : mask.y + height, mask.x : mask.x + width] = mask.crop
    return canvas


def _on_grid(instances: Instances) -> Tensor:
    """Return boxes (K, 4) xyxy in cells of the prototype grid."""
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    boxes = instances.boxes
    return (boxes - boxes.new_tensor([offset_x, offset_y] * 2)) / boxes.new_tensor([scale_x, scale_y] * 2)


def _as_numpy(logits: Tensor) -> Float32Array:
    return logits.numpy(force=True).astype(np.float32, copy=False)


def _indices(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the indices i in (H, W) with x0 <= i < x1, likewise for y."""
    x0, y0, x1, y1 = (math.ceil(edge) for edge in box)
    return max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0])


def _crop_mask(crop: BoolArray, x: int, y: int) -> CropMask:
    return CropMask(crop, x, y) if crop.any() else CropMask(_EMPTY, 0, 0)
