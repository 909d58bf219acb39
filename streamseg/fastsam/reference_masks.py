"""Boxes and masks as the official FastSAM program makes them, with its peculiarities.

    instances ─► as_reference ─► native_masks (retina) or plain_masks ─► stacked

They work on the rows that were found: what the reference loses by a wall-clock limit in its NMS, or by
turning every exception into None, is not lost here. The masks are those of the program as it is since
June 2024, which are also those of ultralytics 8.2; before, and in ultralytics 8.0, the logits went
through a sigmoid before they were enlarged, which makes small masks a little smaller. `instance_masks` is
the better way to make masks; these are for those who depend on the reference's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import box_iou, clip_boxes
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.structures.instances import Instances
from streamseg.structures.message import CropMask

__all__ = ["as_reference", "native_masks", "plain_masks", "plain_size", "snap_full_image", "stacked"]

SNAP_PX = 20
"""Box edges nearer to the border than this go to it; pixels of the network's input."""
FULL_IMAGE_IOU = 0.9
"""A box that overlaps the whole input by more becomes the whole."""

_EMPTY = np.zeros((0, 0), dtype=np.bool_)


def snap_full_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The rule for objects that fill the picture, on all boxes.

    Every edge within `SNAP_PX` of the border goes to the border, of small objects, too; then each box
    whose IoU with the whole is above `FULL_IMAGE_IOU` becomes the whole. Where several do, all become the
    whole; the official program raises there, and answers None.

    Args:
        boxes: (N, 4) xyxy; not changed (there: changed in place).
        size: (H, W) of what the boxes lie in; the official program means the network's input, padding
            included.
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


def as_reference(instances: Instances) -> Instances:
    """The same rows with the boxes that the official program gives them.

    The full-image rule is applied in the network's input, and the boxes go back to the picture by one
    gain for both axes, where ours go by the exact size of the scaled picture: up to half a pixel of the
    input apart. An edge at the picture's border stays there.
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
    # Corrections belong to the boxes that they were made for, and the reference has none.
    return replace(instances, boxes=torch.where(instances.boxes == border, border, boxes), corrections=None)


def native_masks(instances: Instances) -> list[CropMask]:
    """The masks that `retina_masks` gives: at the picture's size.

    The padding is cut off the logits by whole cells, its size rounded down, which moves masks by up to a
    cell; the rest is stretched over the picture, bilinear. A pixel is inside where the logit is above 0
    and its index lies in the box, x0 <= x < x1 (its centre does not count).

    Returns:
        One mask per row; one without any pixel has a crop of shape (0, 0) at (0, 0).
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
    """(H, W) of `plain_masks`: the network's input, padding included."""
    return instances.mask_logits.shape[1] * PROTOTYPE_STRIDE, instances.mask_logits.shape[2] * PROTOTYPE_STRIDE


def plain_masks(instances: Instances) -> list[CropMask]:
    """The masks without `retina_masks`: at the size of the network's input, its padding included.

    Logits are cut at the box on the prototype grid (0 outside) and enlarged then, bilinear, so that a mask
    leaks out of its box by up to a cell. Here the box was cut at the picture's border before, so that no
    mask reaches far into the padding.

    Returns:
        One mask per row, in `plain_size`; one without any pixel has a crop of shape (0, 0) at (0, 0).
    """
    grid_height, grid_width = instances.mask_logits.shape[1:]
    masks = []
    for logits, box in zip(_as_numpy(instances.mask_logits), _on_grid(instances).tolist(), strict=True):
        left, top, right, bottom = _indices(box, (grid_height, grid_width))
        if left >= right or top >= bottom:
            masks.append(CropMask(_EMPTY, 0, 0))
            continue
        # One cell of zeros around it is as far as interpolation reaches; at the grid's border there is none.
        first_x, first_y = max(left - 1, 0), max(top - 1, 0)
        window = np.zeros((min(bottom + 1, grid_height) - first_y, min(right + 1, grid_width) - first_x), np.float32)
        window[top - first_y : bottom - first_y, left - first_x : right - first_x] = logits[top:bottom, left:right]
        size = (window.shape[1] * PROTOTYPE_STRIDE, window.shape[0] * PROTOTYPE_STRIDE)
        enlarged = cv2.resize(window, size, interpolation=cv2.INTER_LINEAR)
        masks.append(_crop_mask(np.asarray(enlarged) > 0, first_x * PROTOTYPE_STRIDE, first_y * PROTOTYPE_STRIDE))
    return masks


def stacked(masks: Sequence[CropMask], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """All masks at full size, bool (K, H, W) for `size` (H, W): 2 MB each at 1080p."""
    canvas = np.zeros((len(masks), *size), dtype=np.bool_)
    for row, mask in enumerate(masks):
        height, width = mask.crop.shape
        canvas[row, mask.y : mask.y + height, mask.x : mask.x + width] = mask.crop
    return canvas


def _on_grid(instances: Instances) -> Tensor:
    """Boxes (K, 4) xyxy in cells of the prototype grid."""
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    boxes = instances.boxes
    return (boxes - boxes.new_tensor([offset_x, offset_y] * 2)) / boxes.new_tensor([scale_x, scale_y] * 2)


def _as_numpy(logits: Tensor) -> npt.NDArray[np.float32]:
    return logits.numpy(force=True).astype(np.float32, copy=False)


def _indices(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the indices i with x0 <= i < x1, likewise y, that lie in (H, W)."""
    x0, y0, x1, y1 = (math.ceil(edge) for edge in box)
    return max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0])


def _crop_mask(crop: npt.NDArray[np.bool_], x: int, y: int) -> CropMask:
    return CropMask(crop, x, y) if crop.any() else CropMask(_EMPTY, 0, 0)
