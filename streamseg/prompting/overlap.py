"""The instances that fit a prompt best, where fit is an IoU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import box_area, box_intersection, clip_boxes, raster_points, sample_logits, silhouettes
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, Prompt, Selection

__all__ = ["MIN_SCORE", "select_best_fits", "select_boxes", "select_masks"]

MIN_SCORE = 0.3
"""Below this an instance is no answer. A person that fills a third of its tight box scores about 0.65."""


def select_best_fits(prompts: Sequence[Prompt], fit: Tensor, *, nested: bool) -> list[Selection]:
    """Answer each of P prompts with the instance that fits it best, or with none.

    Args:
        prompts: P of them.
        fit: float (P, K) 0..1 with K instances, one at least, on the host.
        nested: all from `MIN_SCORE` on, best first, instead of the best alone.
    """
    # (P, K), or the best alone: (P, 1)
    scores, rows = fit.sort(dim=1, descending=True, stable=True) if nested else fit.max(dim=1, keepdim=True)
    num_rows = (scores >= MIN_SCORE).sum(dim=1)  # (P,)
    return [
        Selection(prompt.prompt_id, tuple(found[:count]), tuple(ranked[:count]))
        for prompt, found, ranked, count in zip(prompts, rows.tolist(), scores.tolist(), num_rows.tolist(), strict=True)
    ]


BOX_RASTER = 24
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
    return select_best_fits(prompts, _fit(instances, clip_boxes(wanted, instances.image_size)).cpu(), nested=nested)


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
    tiles = silhouettes(instances, BOX_RASTER).float()  # (K, R, R)
    # sums[k, y, x]: tiles of mask k above and to the left of corner (x, y). Between corners it is bilinear,
    # which is exact for boxes that cut through tiles.
    sums = functional.pad(tiles.cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0)).flatten()
    corner = instances.boxes[rows, :2].tile(2)  # (Q, 4)
    extent = (instances.boxes[rows, 2:] - instances.boxes[rows, :2]).tile(2).clamp(min=1e-6)
    x0, y0, x1, y1 = ((boxes - corner) / extent * BOX_RASTER).clamp(0, BOX_RASTER).unbind(dim=1)  # (Q,) each, in tiles
    first = rows * (BOX_RASTER + 1) ** 2
    covered = _at(sums, first, y1, x1) - _at(sums, first, y0, x1) - _at(sums, first, y1, x0) + _at(sums, first, y0, x0)
    tile_area = box_area(instances.boxes) / BOX_RASTER**2  # (K,)
    overlap = covered * tile_area[rows]
    union = box_area(boxes) + (tiles.sum(dim=(1, 2)) * tile_area)[rows] - overlap
    return overlap / union.clamp(min=1e-6)


def _at(sums: Tensor, first: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Between the corners of the tables that begin at `first` (Q,) of the flat `sums`, at one place each: (Q,)."""
    top, left = y.long().clamp(max=BOX_RASTER - 1), x.long().clamp(max=BOX_RASTER - 1)
    weight_y, weight_x = y - top, x - left
    place = first + top * (BOX_RASTER + 1) + left
    upper = torch.lerp(sums[place], sums[place + 1], weight_x)
    place = place + (BOX_RASTER + 1)
    lower = torch.lerp(sums[place], sums[place + 1], weight_x)
    return torch.lerp(upper, lower, weight_y)


MASK_RASTER = 32
"""Two masks are compared at so many places per side of the box of the given one: to about 1 % of their area."""


def select_masks(instances: Instances, prompts: Sequence[MaskPrompt], *, nested: bool = False) -> list[Selection]:
    """Answer each prompt with the instance whose mask has the best IoU with the given one, or with none.

    Args:
        instances: K of them; 0 answers nothing.
        prompts: P of them, pixels outside the picture do not count.
        nested: all from `fit.MIN_SCORE` on, best first, instead of the best alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    return select_best_fits(prompts, _ious(instances, prompts).cpu(), nested=nested)


def _ious(instances: Instances, prompts: Sequence[MaskPrompt]) -> Tensor:
    """IoU (P, K) of the masks; 0 where the boxes say already that it cannot reach `MIN_SCORE`."""
    # Outlines of the given masks inside the picture, their tiles and areas.
    views = [_view(prompt.mask, instances.image_size) for prompt in prompts]
    boxes = instances.boxes.new_tensor([view[0] for view in views])  # (P, 4)
    tiles = torch.from_numpy(np.stack([view[1] for view in views])).to(boxes.device)  # (P, R, R)
    areas = boxes.new_tensor([view[2] for view in views])[:, None]  # (P, 1)
    own_boxes = _reach(instances)
    own_areas = (silhouettes(instances, MASK_RASTER).float().mean(dim=(1, 2)) * box_area(instances.boxes))[
        None
    ]  # (1, K)
    shared = box_intersection(boxes, own_boxes)  # (P, K)
    # Masks share no more than their boxes do, nor than the smaller of them has.
    most = torch.minimum(shared, torch.minimum(areas, own_areas)) / torch.maximum(areas, own_areas).clamp(min=1e-6)
    chosen, rows = (most >= MIN_SCORE).nonzero(as_tuple=True)  # (Q,) each
    x, y = raster_points(boxes[chosen], MASK_RASTER)  # (Q, R) each
    held = sample_logits(instances, rows[:, None, None], x[:, None, :], y[:, :, None]) > 0  # (Q, R, R)
    x0, y0, x1, y1 = (side[rows, None] for side in own_boxes.unbind(dim=1))
    held &= ((x >= x0) & (x < x1))[:, None, :] & ((y >= y0) & (y < y1))[:, :, None]
    overlap = (held & tiles[chosen]).float().mean(dim=(1, 2)) * box_area(boxes)[chosen]
    union = areas[chosen, 0] + own_areas[0, rows] - overlap
    iou = torch.zeros_like(shared)
    iou[chosen, rows] = (overlap / union.clamp(min=1e-6)).clamp(max=1)
    return iou


def _reach(instances: Instances) -> Tensor:
    """(K, 4) boxes outside of which the masks have no pixel."""
    if instances.corrections is None:
        return instances.boxes
    margin = CORRECTION_MARGIN * (instances.boxes[:, 2:] - instances.boxes[:, :2])
    return torch.cat((instances.boxes[:, :2] - margin, instances.boxes[:, 2:] + margin), dim=1)


def _view(mask: CropMask, image_size: tuple[int, int]) -> tuple[tuple[int, int, int, int], npt.NDArray[np.bool_], int]:
    """Tight box inside the picture, R x R tiles in it, and area in pixels; all of them zero where nothing is left."""
    height, width = image_size
    left, top = max(-mask.x, 0), max(-mask.y, 0)
    crop = mask.crop[top : max(height - mask.y, 0), left : max(width - mask.x, 0)]
    down, across = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    if not len(down):
        return (0, 0, 0, 0), np.zeros((MASK_RASTER, MASK_RASTER), dtype=np.bool_), 0
    crop = crop[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    rows, columns = (((np.arange(MASK_RASTER) + 0.5) / MASK_RASTER * side).astype(np.intp) for side in crop.shape)
    x, y = mask.x + left + int(across[0]), mask.y + top + int(down[0])
    box = (x, y, x + crop.shape[1], y + crop.shape[0])
    return box, crop[np.ix_(rows, columns)], int(np.count_nonzero(crop))
