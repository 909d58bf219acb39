"""Pure functions on boxes, masks and coordinate frames: letterbox, IoU, NMS, mask logits at points.

Boxes are xyxy in continuous pixels: a box that covers pixels 2 and 3 is [2, 4].
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import SILHOUETTE_TILES

__all__ = [
    "Letterbox",
    "box_area",
    "box_intersection",
    "box_iou",
    "clip_boxes",
    "letterbox",
    "letterbox_into",
    "nms",
    "raster_points",
    "sample_logits",
    "silhouettes",
]

_NMS_BLOCK = 128
"""Boxes that `nms` compares at once."""


class Letterbox(NamedTuple):
    """Scaling and padding of an image to the network's input."""

    image_size: tuple[int, int]
    """Size (H, W) of the image."""
    scaled_size: tuple[int, int]
    """Size (H, W) of the scaled image inside the input."""
    input_size: tuple[int, int]
    """Size (H, W) of the network's input, multiples of the largest stride."""
    top: int
    """Rows of padding above."""
    left: int
    """Columns of padding to the left."""

    def to_image(self, stride: float = 1.0) -> GridTransform:
        """Return the exact transform from a grid of `stride` input pixels per cell to the image.

        Width and height are rounded to whole pixels separately, so the two axes scale by slightly different factors.
        Both are kept, because integer padding and a single scale would shift masks by up to a cell.
        """
        scale_x = self.image_size[1] / self.scaled_size[1]
        scale_y = self.image_size[0] / self.scaled_size[0]
        return GridTransform(stride * scale_x, stride * scale_y, -self.left * scale_x, -self.top * scale_y)


def letterbox(image_size: tuple[int, int], imgsz: int, *, stride: int = 32) -> Letterbox:
    """Fit an image of (H, W) into a rectangle whose long side is `imgsz`, preserving its aspect ratio.

    The short side is padded only to the next multiple of `stride` (a 16:9 image at 640 becomes 384x640, not 640x640).
    Small images are enlarged. The shape depends on this image alone, so that a frame's result does not depend on the
    other frames of its batch.
    """
    limit = -(-imgsz // stride) * stride
    height, width = _scaled_size(image_size, (limit, limit))
    return _centred(image_size, (height, width), (height + -height % stride, width + -width % stride))


def letterbox_into(image_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    """Fit an image of (H, W) into exactly `input_size` (H, W), centred, preserving its aspect ratio.

    For networks with a fixed input size. Small images are enlarged.
    """
    return _centred(image_size, _scaled_size(image_size, input_size), input_size)


def _scaled_size(image_size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (H, W) within the limits that preserves the aspect ratio, in whole pixels."""
    ratio = min(limits[0] / image_size[0], limits[1] / image_size[1])
    return max(round(image_size[0] * ratio), 1), max(round(image_size[1] * ratio), 1)


def _centred(image_size: tuple[int, int], scaled_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    # The odd pixel of padding goes below and to the right, as in FastSAM's letterbox.
    return Letterbox(
        image_size=image_size,
        scaled_size=scaled_size,
        input_size=input_size,
        top=round((input_size[0] - scaled_size[0]) / 2 - 0.1),
        left=round((input_size[1] - scaled_size[1]) / 2 - 0.1),
    )


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


def sample_logits(instances: Instances, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample mask logits at points of the image, including corrections if present, inside and outside the boxes.

    Args:
        instances: provide `mask_logits` and `corrections`, on any device.
        rows: row of the instance to sample at each point, int64.
        x: x coordinates in continuous pixels of the source image.
        y: y coordinates; `rows`, `x` and `y` broadcast against each other.

    Returns:
        Logits, float32 of the broadcast shape, interpolated bilinearly between cell centres; beyond the outermost
        centres, the border cells continue. Without points or rows, an empty tensor.
    """
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    logits = _bilinear(instances.mask_logits, rows, (x - offset_x) / scale_x - 0.5, (y - offset_y) / scale_y - 0.5)
    if instances.corrections is None:
        return logits
    raster = instances.corrections.shape[1]
    x0, y0, x1, y1 = instances.boxes[rows].unbind(dim=-1)
    return logits + _bilinear(
        instances.corrections, rows, _raster_position(x, x0, x1, raster), _raster_position(y, y0, y1, raster)
    )


def _raster_position(at: Tensor, low: Tensor, high: Tensor, raster: int) -> Tensor:
    """Return a coordinate's position in cells on the correction raster of a box side from `low` to `high`."""
    share = (at - low) / (high - low).clamp(min=1e-6)
    return (share + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * raster - 0.5


def _bilinear(maps: Tensor, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolate maps (K, H, W) at positions in cells (the centre of cell i is at i), as float32."""
    _, height, width = maps.shape
    x, y = x.clamp(0, max(width - 1, 0)), y.clamp(0, max(height - 1, 0))
    left, top = x.long(), y.long()  # non-negative, so truncation equals floor
    step_right = (left < width - 1).long()
    step_down = (top < height - 1).long() * width
    weight_x, weight_y = x - left, y - top
    values = maps.reshape(-1)
    corner = rows * (height * width) + top * width + left
    upper = torch.lerp(values[corner].float(), values[corner + step_right].float(), weight_x)
    corner = corner + step_down
    lower = torch.lerp(values[corner].float(), values[corner + step_right].float(), weight_x)
    return torch.lerp(upper, lower, weight_y)


def raster_points(boxes: Tensor, raster: int, *, margin: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the centres of raster x raster equal tiles over boxes (K, 4), widened per side by `margin` of their size.

    Returns:
        Two tensors, float (K, raster): x from left to right, y from top to bottom.
    """
    positions = (torch.arange(raster, device=boxes.device) + 0.5) / raster * (1 + 2 * margin) - margin
    x = boxes[:, 0, None] + (boxes[:, 2] - boxes[:, 0])[:, None] * positions
    y = boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * positions
    return x, y


def silhouettes(instances: Instances, raster: int) -> Tensor:
    """Rasterise each mask inside its own box: bool (K, raster, raster), rows from top to bottom.

    The mask is sampled at the centres of raster x raster equal tiles of the box, so that the resolution follows the
    size of the object, not the grid. The mean over the tiles times the area of the box is the area of the mask in
    pixels.
    """
    if instances.samples is not None and raster == SILHOUETTE_TILES:
        return instances.samples.silhouettes
    x, y = raster_points(instances.boxes, raster)
    rows = torch.arange(len(instances), device=x.device)[:, None, None]
    logits = sample_logits(instances.corrected(None), rows, x[:, None, :], y[:, :, None])
    if instances.corrections is not None:
        # Tiles have the same position on every correction raster, so a matrix product replaces per-object sampling.
        weights = _tile_weights(raster, instances.corrections.shape[1]).to(logits.device)
        logits = logits + weights @ instances.corrections.float() @ weights.T
    return logits > 0


@cache
def _tile_weights(num_tiles: int, raster: int) -> Tensor:
    """Return the bilinear weight (T, R) of each correction cell for each tile of a box, along one side."""
    zero, one = torch.zeros(1), torch.ones(1)
    positions = _raster_position((torch.arange(num_tiles) + 0.5) / num_tiles, zero, one, raster).clamp(0, raster - 1)
    return (1 - (positions[:, None] - torch.arange(raster)).abs()).clamp(min=0)
