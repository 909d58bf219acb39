"""Boxes against instances."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import box_area, box_intersection, clip_boxes, silhouettes
from streamseg.prompting.overlap import MIN_SCORE, select_fitting
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import BoxPrompt, Selection

__all__ = ["select_boxes"]

RASTER = 24
"""Masks are measured at so many places per side of their box: to about 1 % of the area of the box."""


def select_boxes(instances: Instances, prompts: Sequence[BoxPrompt], *, nested: bool = False) -> list[Selection]:
    """Answer each prompt with the instance that fits its box best, or with none.

    The fit is the mean of two IoUs: of the boxes, as the paper has it, and of the box with the mask's
    pixels, as its code has it. Alone, the first cannot tell two objects of the same outline apart, and
    the second prefers whatever fills the rectangle, such as the wall behind.

    Args:
        instances: K of them; 0 answers nothing.
        prompts: P of them, parts outside the picture do not count.
        nested: all from `fit.MIN_SCORE` on, best first, instead of the best alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    wanted = instances.boxes.new_tensor([prompt.box for prompt in prompts])
    return select_fitting(prompts, _fit(instances, clip_boxes(wanted, instances.image_size)).cpu(), nested=nested)


def _fit(instances: Instances, boxes: Tensor) -> Tensor:
    """Mean (P, K) of box IoU and mask IoU with prompt boxes (P, 4); 0 where it cannot reach `MIN_SCORE`."""
    areas, own_areas = box_area(boxes)[:, None], box_area(instances.boxes)[None, :]  # (P, 1), (1, K)
    shared = box_intersection(boxes, instances.boxes)  # (P, K)
    box_iou = shared / (areas + own_areas - shared).clamp(min=1e-6)
    # A mask shares no more with a box than its own box does: few pairs are left whose masks matter.
    chosen, columns = (box_iou + shared / areas.clamp(min=1e-6) >= 2 * MIN_SCORE).nonzero(as_tuple=True)
    rows, masks = torch.unique(columns, return_inverse=True)
    mask_iou = _mask_iou(instances[rows], masks, boxes[chosen])
    fit = torch.zeros_like(box_iou)
    fit[chosen, columns] = (box_iou[chosen, columns] + mask_iou) / 2
    return fit


def _mask_iou(instances: Instances, rows: Tensor, boxes: Tensor) -> Tensor:
    """IoU (Q,) of boxes (Q, 4) with the mask of the instance in the same place of `rows` (Q,)."""
    tiles = silhouettes(instances, RASTER).float()  # (K, R, R)
    # sums[k, y, x]: tiles of mask k above and to the left of corner (x, y). Between corners it is bilinear,
    # which is exact for boxes that cut through tiles.
    sums = functional.pad(tiles.cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0)).flatten()
    corner = instances.boxes[rows, :2].tile(2)  # (Q, 4)
    extent = (instances.boxes[rows, 2:] - instances.boxes[rows, :2]).tile(2).clamp(min=1e-6)
    x0, y0, x1, y1 = ((boxes - corner) / extent * RASTER).clamp(0, RASTER).unbind(dim=1)  # (Q,) each, in tiles
    first = rows * (RASTER + 1) ** 2
    covered = _at(sums, first, y1, x1) - _at(sums, first, y0, x1) - _at(sums, first, y1, x0) + _at(sums, first, y0, x0)
    tile_area = box_area(instances.boxes) / RASTER**2  # (K,)
    overlap = covered * tile_area[rows]
    union = box_area(boxes) + (tiles.sum(dim=(1, 2)) * tile_area)[rows] - overlap
    return overlap / union.clamp(min=1e-6)


def _at(sums: Tensor, first: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Between the corners of the tables that begin at `first` (Q,) of the flat `sums`, at one place each: (Q,)."""
    top, left = y.long().clamp(max=RASTER - 1), x.long().clamp(max=RASTER - 1)
    weight_y, weight_x = y - top, x - left
    place = first + top * (RASTER + 1) + left
    upper = torch.lerp(sums[place], sums[place + 1], weight_x)
    place = place + (RASTER + 1)
    lower = torch.lerp(sums[place], sums[place + 1], weight_x)
    return torch.lerp(upper, lower, weight_y)
