"""Boxes against instances."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import box_area, box_iou
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import BoxPrompt, Selection

__all__ = ["MIN_SCORE", "select_boxes"]

MIN_SCORE = 0.3
"""Below this an instance is no answer. A person that fills a third of its tight box scores about 0.65."""


def select_boxes(instances: Instances, prompts: Sequence[BoxPrompt], *, nested: bool = False) -> list[Selection]:
    """Answer each prompt with the instance that fits its box best, or with none.

    The fit is the mean of two IoUs: of the boxes, as the paper has it, and of the box with the mask's
    pixels, as its code has it. Alone, the first cannot tell two objects of the same outline apart, and
    the second prefers whatever fills the rectangle, such as the wall behind.

    Args:
        instances: K of them; 0 answers nothing.
        prompts: P of them, parts outside the picture do not count.
        nested: all from `MIN_SCORE` on, best first, instead of the best alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    height, width = instances.image_size
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    boxes = torch.tensor([prompt.box for prompt in prompts], dtype=torch.float32)
    boxes = torch.minimum(boxes.clamp(min=0), limits)  # (P, 4)
    fit = (box_iou(boxes, instances.boxes.cpu()) + _mask_iou(instances, boxes)) / 2  # (P, K)
    # (P, K), or the best alone: (P, 1)
    scores, rows = fit.sort(dim=1, descending=True, stable=True) if nested else fit.max(dim=1, keepdim=True)
    num_rows = (scores >= MIN_SCORE).sum(dim=1)  # (P,)
    return [
        Selection(prompt.prompt_id, tuple(found[:count]), tuple(ranked[:count]))
        for prompt, found, ranked, count in zip(prompts, rows.tolist(), scores.tolist(), num_rows.tolist(), strict=True)
    ]


def _mask_iou(instances: Instances, boxes: Tensor) -> Tensor:
    """IoU (P, K) of prompt boxes (P, 4) with the pixels of the masks, measured on the grid."""
    inside = _grid_masks(instances)  # (K, Mh, Mw)
    # sums[k, y, x]: cells of mask k above and to the left of grid point (x, y). Between grid points it is
    # bilinear, which is exact for boxes that cut through cells.
    sums = functional.pad(inside.cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0))  # (K, Mh + 1, Mw + 1)
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    x0, x1 = ((boxes[:, side] - offset_x) / scale_x for side in (0, 2))  # (P,) each
    y0, y1 = ((boxes[:, side] - offset_y) / scale_y for side in (1, 3))
    covered = _at(sums, y1, x1) - _at(sums, y0, x1) - _at(sums, y1, x0) + _at(sums, y0, x0)  # (K, P)
    overlap = covered.T * (scale_x * scale_y)  # (P, K)
    areas = inside.sum(dim=(1, 2)) * (scale_x * scale_y)  # (K,)
    union = box_area(boxes)[:, None] + areas[None, :] - overlap
    return overlap / union.clamp(min=1e-6)


def _grid_masks(instances: Instances) -> Tensor:
    """float32 (K, Mh, Mw): 1 in the cells of each mask whose centres lie in its box."""
    logits = instances.mask_logits.cpu()
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    x = (torch.arange(logits.shape[2]) + 0.5) * scale_x + offset_x  # (Mw,)
    y = (torch.arange(logits.shape[1]) + 0.5) * scale_y + offset_y  # (Mh,)
    x0, y0, x1, y1 = (side[:, None] for side in instances.boxes.cpu().unbind(dim=1))  # (K, 1) each
    in_x, in_y = (x >= x0) & (x < x1), (y >= y0) & (y < y1)  # (K, Mw), (K, Mh)
    return ((logits > 0) & in_y[:, :, None] & in_x[:, None, :]).float()


def _at(sums: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """`sums` (K, h, w) between its grid points, at P places: (K, P)."""
    y, x = y.clamp(0, sums.shape[1] - 1), x.clamp(0, sums.shape[2] - 1)
    top, left = y.long().clamp(max=sums.shape[1] - 2), x.long().clamp(max=sums.shape[2] - 2)
    weight_y, weight_x = y - top, x - left
    upper = torch.lerp(sums[:, top, left], sums[:, top, left + 1], weight_x)
    lower = torch.lerp(sums[:, top + 1, left], sums[:, top + 1, left + 1], weight_x)
    return torch.lerp(upper, lower, weight_y)
