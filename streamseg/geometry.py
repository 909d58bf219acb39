"""Pure functions of boxes, masks and frames of reference: letterbox, IoU, NMS, logits at points.

Boxes are xyxy in continuous pixels: a box that covers pixels 2 and 3 is [2, 4].
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamseg.structures.instances import CORRECTION_MARGIN, GridTransform, Instances

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


class Letterbox(NamedTuple):
    """How a picture is scaled and padded into the network's input."""

    image_size: tuple[int, int]
    """(H, W) of the picture."""
    scaled_size: tuple[int, int]
    """(H, W) of the picture inside the input."""
    input_size: tuple[int, int]
    """(H, W) of the network's input, multiples of the largest stride."""
    top: int
    """Rows of padding above."""
    left: int
    """Columns of padding to the left."""

    def to_image(self, stride: float = 1.0) -> GridTransform:
        """Where a grid of `stride` input pixels per cell lies in the picture, exactly.

        Width and height are rounded to whole pixels apart, so that the two axes scale by slightly
        different factors; both are kept (integer padding and one gain shift masks by up to a cell).
        """
        scale_x = self.image_size[1] / self.scaled_size[1]
        scale_y = self.image_size[0] / self.scaled_size[0]
        return GridTransform(stride * scale_x, stride * scale_y, -self.left * scale_x, -self.top * scale_y)


def letterbox(image_size: tuple[int, int], imgsz: int, *, stride: int = 32) -> Letterbox:
    """Fit a picture of (H, W) into a rectangle whose long side is `imgsz`, keeping its aspect.

    The short side is padded to the next multiple of `stride` only (a 16:9 picture at 640 becomes
    384x640, not 640x640). Small pictures are enlarged. The shape depends on this picture alone, so
    that a frame's answer does not depend on what it is batched with.
    """
    limit = -(-imgsz // stride) * stride
    height, width = _scaled_size(image_size, (limit, limit))
    return _centred(image_size, (height, width), (height + -height % stride, width + -width % stride))


def letterbox_into(image_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    """Fit a picture of (H, W) into exactly `input_size` (H, W), keeping its aspect, with the padding around it.

    For networks that take no other size. Small pictures are enlarged.
    """
    return _centred(image_size, _scaled_size(image_size, input_size), input_size)


def _scaled_size(image_size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """The largest (H, W) within the limits that keeps the aspect, in whole pixels."""
    ratio = min(limits[0] / image_size[0], limits[1] / image_size[1])
    return max(round(image_size[0] * ratio), 1), max(round(image_size[1] * ratio), 1)


def _centred(image_size: tuple[int, int], scaled_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    # The odd pixel goes below and to the right, as in the reference's letterbox.
    return Letterbox(
        image_size=image_size,
        scaled_size=scaled_size,
        input_size=input_size,
        top=round((input_size[0] - scaled_size[0]) / 2 - 0.1),
        left=round((input_size[1] - scaled_size[1]) / 2 - 0.1),
    )


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) xyxy cut at the border of a picture of `size` (H, W)."""
    height, width = size
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limits)


def box_area(boxes: Tensor) -> Tensor:
    """Area (...) of boxes (..., 4) xyxy; 0 for a box without extent."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def box_intersection(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Area (N, M) that boxes (N, 4) and (M, 4) xyxy share; 0 where they do not meet."""
    width, height = (
        torch.minimum(boxes_a[:, None, high], boxes_b[None, :, high])
        - torch.maximum(boxes_a[:, None, low], boxes_b[None, :, low])
        for low, high in ((0, 2), (1, 3))
    )
    return width.clamp(min=0) * height.clamp(min=0)


def box_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """IoU (N, M) of boxes (N, 4) and (M, 4) xyxy; 0 where both are without extent."""
    intersection = box_intersection(boxes_a, boxes_b)
    union = box_area(boxes_a)[:, None] + box_area(boxes_b)[None, :] - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def nms(boxes: Tensor, scores: Tensor, iou: float, *, max_kept: int | None = None) -> Tensor:
    """Greedy non-maximum suppression, exact and without a time limit. Runs on the host.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,); equal scores keep their order.
        iou: a box that overlaps a better kept box by more than this is removed.
        max_kept: stop when so many are kept; None keeps all.

    Returns:
        int64 (K,) indices of the kept boxes by descending score; K = 0 for N = 0.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order].float()
    sides = torch.cat([boxes, box_area(boxes)[:, None]], dim=1).numpy(force=True).T.copy()  # (5, N)
    indices = np.arange(len(order))
    kept: list[int] = []
    # Each pass keeps the best box left and removes what overlaps it: O(K N), no N x N matrix. In NumPy, whose calls
    # cost a tenth of torch's at this size.
    while len(indices) and len(kept) != max_kept:
        kept.append(int(indices[0]))
        left, top, right, bottom, area = sides
        width = np.minimum(right[1:], right[0]) - np.maximum(left[1:], left[0])
        height = np.minimum(bottom[1:], bottom[0]) - np.maximum(top[1:], top[0])
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        # Not a quotient: two boxes without extent have none, and do not overlap.
        survivors = np.flatnonzero(intersection <= iou * (area[1:] + area[0] - intersection)) + 1
        sides, indices = sides[:, survivors], indices[survivors]
    return order[kept]


def sample_logits(instances: Instances, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mask logits at points of the picture, corrected where there are corrections, no matter where the boxes are.

    Args:
        instances: whose `mask_logits` and `corrections` are read, on any device.
        rows: int64, which instance each point asks.
        x: continuous pixels of the source image.
        y: the same; `rows`, `x` and `y` broadcast against each other.

    Returns:
        float32 of the broadcast shape, bilinear between the centres of cells; beyond the outermost of them the
        border cells continue. No point or no row gives an empty tensor.
    """
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    logits = _bilinear(instances.mask_logits, rows, (x - offset_x) / scale_x - 0.5, (y - offset_y) / scale_y - 0.5)
    if instances.corrections is None:
        return logits
    raster = instances.corrections.shape[1]
    x0, y0, x1, y1 = instances.boxes[rows].unbind(dim=-1)
    return logits + _bilinear(
        instances.corrections, rows, _raster_place(x, x0, x1, raster), _raster_place(y, y0, y1, raster)
    )


def _raster_place(at: Tensor, low: Tensor, high: Tensor, raster: int) -> Tensor:
    """Where a coordinate lies on the raster of corrections of a box side from `low` to `high`, in cells."""
    share = (at - low) / (high - low).clamp(min=1e-6)
    return (share + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * raster - 0.5


def _bilinear(maps: Tensor, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values of maps (K, H, W) at places in cells (the centre of cell i is at i), as float32."""
    _, height, width = maps.shape
    x, y = x.clamp(0, max(width - 1, 0)), y.clamp(0, max(height - 1, 0))
    left, top = x.long(), y.long()  # not negative, so that truncation is floor
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
    """Centres of raster x raster equal tiles over boxes (K, 4) that are widened by `margin` of their size per side.

    Returns:
        float (K, raster) twice: x from left to right, y from top to bottom.
    """
    places = (torch.arange(raster, device=boxes.device) + 0.5) / raster * (1 + 2 * margin) - margin
    x = boxes[:, 0, None] + (boxes[:, 2] - boxes[:, 0])[:, None] * places
    y = boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * places
    return x, y


def silhouettes(instances: Instances, raster: int) -> Tensor:
    """Each mask inside its own box, whatever its size: bool (K, raster, raster), rows from top to bottom.

    The picture of the box is taken at the centres of raster x raster equal tiles, so that its detail
    grows with the object and not with the grid. The mean over the tiles times the area of the box is
    the area of the mask in pixels.
    """
    x, y = raster_points(instances.boxes, raster)
    rows = torch.arange(len(instances), device=x.device)[:, None, None]
    logits = sample_logits(instances.corrected(None), rows, x[:, None, :], y[:, :, None])
    if instances.corrections is not None:
        # Tiles lie in the same places of every raster of corrections: a product instead of a look-up for each.
        weights = _tile_weights(raster, instances.corrections.shape[1]).to(logits.device)
        logits = logits + weights @ instances.corrections.float() @ weights.T
    return logits > 0


@cache
def _tile_weights(num_tiles: int, raster: int) -> Tensor:
    """How much of each cell of a raster of corrections each tile of a box takes, along one side: (T, R)."""
    zero, one = torch.zeros(1), torch.ones(1)
    places = _raster_place((torch.arange(num_tiles) + 0.5) / num_tiles, zero, one, raster).clamp(0, raster - 1)
    return (1 - (places[:, None] - torch.arange(raster)).abs()).clamp(min=0)
