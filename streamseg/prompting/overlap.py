"""Matching of boxes and masks: the instances with the best overlap.

select_boxes      by the mean of box IoU and mask IoU
select_masks      by mask IoU
select_best_fits  the best instances of a given overlap
mutual_ious       mask IoUs of instances with each other
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import box_area, box_intersection, clip_boxes, raster_points, sample_logits, silhouettes
from streamseg.structures.arrays import BoolArray, Float64Array
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, Prompt, Selection

__all__ = ["MIN_SCORE", "MUTUAL_RASTER", "mutual_ious", "select_best_fits", "select_boxes", "select_masks"]

MIN_SCORE: Final = 0.3
"""Minimum score of a match. A person that fills a third of its tight box scores about 0.65."""
BOX_RASTER: Final = 24
"""Raster cells per side of a mask's box for the IoU with a prompt box; accurate to about 1 % of the box area."""
MUTUAL_RASTER: Final = 16
"""Raster cells per side of the smaller of two boxes for the IoU of their masks; accurate to a few percent."""
MASK_RASTER: Final = 32
"""Raster cells per side of a prompt mask's box for the IoU of two masks; accurate to about 1 % of their area."""


def select_best_fits(prompts: Sequence[Prompt], fit: Tensor, *, nested: bool) -> list[Selection]:
    """Select the instance that fits each prompt best, or none.

    Args:
        prompts: P prompts.
        fit: float (P, K) 0..1 for K instances, at least one, on the host.
        nested: select all instances from `MIN_SCORE` on, best first, instead of the best alone.
    """
    # (P, K), or the best alone: (P, 1)
    scores, rows = fit.sort(dim=1, descending=True, stable=True) if nested else fit.max(dim=1, keepdim=True)
    num_rows = (scores >= MIN_SCORE).sum(dim=1)  # (P,)
    return [
        Selection(prompt.prompt_id, tuple(found[:count]), tuple(ranked[:count]))
        for prompt, found, ranked, count in zip(prompts, rows.tolist(), scores.tolist(), num_rows.tolist(), strict=True)
    ]


def select_boxes(instances: Instances, prompts: Sequence[BoxPrompt], *, nested: bool = False) -> list[Selection]:
    """Select the instance that fits each prompt's box best, or none.

    The fit is the mean of two IoUs: of the two boxes, as in the FastSAM paper, and of the box and the mask's pixels,
    as in the FastSAM code. The first alone cannot distinguish two objects with the same box; the second alone prefers
    any object that fills the rectangle, such as the wall behind.

    Args:
        instances: K instances; 0 match nothing.
        prompts: P prompts; parts outside the image are ignored.
        nested: select all instances from `MIN_SCORE` on, best first, instead of the best alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    boxes = instances.boxes.new_tensor([prompt.box for prompt in prompts])
    return select_best_fits(prompts, _box_fit(instances, clip_boxes(boxes, instances.image_size)).cpu(), nested=nested)


def select_masks(instances: Instances, prompts: Sequence[MaskPrompt], *, nested: bool = False) -> list[Selection]:
    """Select the instance whose mask has the best IoU with each prompt's mask, or none.

    Args:
        instances: K instances; 0 match nothing.
        prompts: P prompts; pixels outside the image are ignored.
        nested: select all instances from `MIN_SCORE` on, best first, instead of the best alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    return select_best_fits(prompts, _mask_fit(instances, prompts).cpu(), nested=nested)


def mutual_ious(instances: Instances, wanted: BoolArray) -> Float64Array:
    """Return the mask IoU (K, K) of instances with each other: 1 on the diagonal, 0 for pairs that are not wanted.

    The tiles of the smaller box are looked up in the other mask. Masks end at their boxes.

    Args:
        instances: K instances; 0 give an empty matrix.
        wanted: (K, K), symmetric: which pairs are compared.
    """
    tiles = silhouettes(instances, MUTUAL_RASTER)  # (K, R, R)
    boxes, extents = instances.boxes, box_area(instances.boxes)
    areas = tiles.float().mean(dim=(1, 2)) * extents  # (K,)
    touching = torch.from_numpy(wanted).to(boxes.device) & (box_intersection(boxes, boxes) > 0)
    first, second = touching.triu(1).nonzero(as_tuple=True)  # (Q,) each
    swaps = extents[first] > extents[second]
    small, large = torch.where(swaps, second, first), torch.where(swaps, first, second)
    x, y = raster_points(boxes[small], MUTUAL_RASTER)  # (Q, R) each
    inside = sample_logits(instances, large[:, None, None], x[:, None, :], y[:, :, None]) > 0  # (Q, R, R)
    x0, y0, x1, y1 = (side[large, None] for side in boxes.unbind(dim=1))
    inside &= ((x >= x0) & (x < x1))[:, None, :] & ((y >= y0) & (y < y1))[:, :, None]
    shared = (inside & tiles[small]).float().mean(dim=(1, 2)) * extents[small]
    ious = torch.eye(len(instances), device=boxes.device)
    ious[first, second] = (shared / (areas[first] + areas[second] - shared).clamp(min=1e-6)).clamp(max=1)
    ious[second, first] = ious[first, second]
    return ious.numpy(force=True).astype(np.float64)


def _box_fit(instances: Instances, boxes: Tensor) -> Tensor:
    """Compute the mean (P, K) of box IoU and mask IoU with boxes (P, 4); 0 if it cannot reach `MIN_SCORE`."""
    areas, own_areas = box_area(boxes)[:, None], box_area(instances.boxes)[None, :]  # (P, 1), (1, K)
    shared = box_intersection(boxes, instances.boxes)  # (P, K)
    box_iou = shared / (areas + own_areas - shared).clamp(min=1e-6)
    # A mask shares no more with a box than its own box does: the masks of only a few pairs are needed.
    chosen, columns = (box_iou + shared / areas.clamp(min=1e-6) >= 2 * MIN_SCORE).nonzero(as_tuple=True)
    rows, masks = torch.unique(columns, return_inverse=True)
    mask_iou = _mask_iou(instances[rows], masks, boxes[chosen])
    fit = torch.zeros_like(box_iou)
    fit[chosen, columns] = (box_iou[chosen, columns] + mask_iou) / 2
    return fit


def _mask_iou(instances: Instances, rows: Tensor, boxes: Tensor) -> Tensor:
    """Compute the IoU (Q,) of each of the boxes (Q, 4) with the mask of its instance in `rows` (Q,)."""
    tiles = silhouettes(instances, BOX_RASTER).float()  # (K, R, R)
    # sums[k, y, x]: tiles of mask k above and to the left of corner (x, y). Between corners it is bilinear,
    # which is exact for boxes that cut through tiles.
    sums = functional.pad(tiles.cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0)).flatten()
    corner = instances.boxes[rows, :2].tile(2)  # (Q, 4)
    extent = (instances.boxes[rows, 2:] - instances.boxes[rows, :2]).tile(2).clamp(min=1e-6)
    x0, y0, x1, y1 = ((boxes - corner) / extent * BOX_RASTER).clamp(0, BOX_RASTER).unbind(dim=1)  # (Q,) each, in tiles
    first = rows * (BOX_RASTER + 1) ** 2
    covered = (
        _interpolate(sums, first, y1, x1)
        - _interpolate(sums, first, y0, x1)
        - _interpolate(sums, first, y1, x0)
        + _interpolate(sums, first, y0, x0)
    )
    tile_area = box_area(instances.boxes) / BOX_RASTER**2  # (K,)
    overlap = covered * tile_area[rows]
    union = box_area(boxes) + (tiles.sum(dim=(1, 2)) * tile_area)[rows] - overlap
    return overlap / union.clamp(min=1e-6)


def _interpolate(sums: Tensor, first: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Interpolate between the corners of tables that begin at `first` (Q,) of the flat `sums`, at one point each."""
    top, left = y.long().clamp(max=BOX_RASTER - 1), x.long().clamp(max=BOX_RASTER - 1)
    weight_y, weight_x = y - top, x - left
    corner = first + top * (BOX_RASTER + 1) + left
    upper = torch.lerp(sums[corner], sums[corner + 1], weight_x)
    corner = corner + (BOX_RASTER + 1)
    lower = torch.lerp(sums[corner], sums[corner + 1], weight_x)
    return torch.lerp(upper, lower, weight_y)


def _mask_fit(instances: Instances, prompts: Sequence[MaskPrompt]) -> Tensor:
    """Compute the mask IoU (P, K); 0 if it cannot reach `MIN_SCORE` according to boxes and areas."""
    # Boxes of the prompt masks inside the image, their tiles and areas.
    cropped = [_crop_to_image(prompt.mask, instances.image_size) for prompt in prompts]
    boxes = instances.boxes.new_tensor([box for box, _, _ in cropped])  # (P, 4)
    tiles = torch.from_numpy(np.stack([one for _, one, _ in cropped])).to(boxes.device)  # (P, R, R)
    areas = boxes.new_tensor([area for _, _, area in cropped])[:, None]  # (P, 1)
    own_boxes = _mask_bounds(instances)
    own_shares = silhouettes(instances, MASK_RASTER).float().mean(dim=(1, 2))
    own_areas = (own_shares * box_area(instances.boxes))[None]  # (1, K)
    shared = box_intersection(boxes, own_boxes)  # (P, K)
    # Masks share no more than their boxes do, and no more than the area of the smaller one.
    most = torch.minimum(shared, torch.minimum(areas, own_areas)) / torch.maximum(areas, own_areas).clamp(min=1e-6)
    chosen, rows = (most >= MIN_SCORE).nonzero(as_tuple=True)  # (Q,) each
    x, y = raster_points(boxes[chosen], MASK_RASTER)  # (Q, R) each
    inside = sample_logits(instances, rows[:, None, None], x[:, None, :], y[:, :, None]) > 0  # (Q, R, R)
    x0, y0, x1, y1 = (side[rows, None] for side in own_boxes.unbind(dim=1))
    inside &= ((x >= x0) & (x < x1))[:, None, :] & ((y >= y0) & (y < y1))[:, :, None]
    overlap = (inside & tiles[chosen]).float().mean(dim=(1, 2)) * box_area(boxes)[chosen]
    union = areas[chosen, 0] + own_areas[0, rows] - overlap
    iou = torch.zeros_like(shared)
    iou[chosen, rows] = (overlap / union.clamp(min=1e-6)).clamp(max=1)
    return iou


def _mask_bounds(instances: Instances) -> Tensor:
    """Return boxes (K, 4) outside of which the masks have no pixel."""
    if instances.corrections is None:
        return instances.boxes
    margin = CORRECTION_MARGIN * (instances.boxes[:, 2:] - instances.boxes[:, :2])
    return torch.cat((instances.boxes[:, :2] - margin, instances.boxes[:, 2:] + margin), dim=1)


def _crop_to_image(mask: CropMask, image_size: tuple[int, int]) -> tuple[tuple[int, int, int, int], BoolArray, int]:
    """Return a mask's tight box (xyxy) inside the image, its tiles (R, R) there and its area in pixels.

    All of them are zero if no pixel is inside the image.
    """
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
