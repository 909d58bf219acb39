"""Masks against masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import box_area, box_intersection, raster_points, sample_logits, silhouettes
from streamseg.prompting.overlap import MIN_SCORE, select_fitting
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import MaskPrompt, Selection

__all__ = ["select_masks"]

RASTER = 32
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
    return select_fitting(prompts, _ious(instances, prompts).cpu(), nested=nested)


def _ious(instances: Instances, prompts: Sequence[MaskPrompt]) -> Tensor:
    """IoU (P, K) of the masks; 0 where the boxes say already that it cannot reach `MIN_SCORE`."""
    # Outlines of the given masks inside the picture, their tiles and areas.
    views = [_view(prompt.mask, instances.image_size) for prompt in prompts]
    boxes = instances.boxes.new_tensor([view[0] for view in views])  # (P, 4)
    tiles = torch.from_numpy(np.stack([view[1] for view in views])).to(boxes.device)  # (P, R, R)
    areas = boxes.new_tensor([view[2] for view in views])[:, None]  # (P, 1)
    own_boxes = _reach(instances)
    own_areas = (silhouettes(instances, RASTER).float().mean(dim=(1, 2)) * box_area(instances.boxes))[None]  # (1, K)
    shared = box_intersection(boxes, own_boxes)  # (P, K)
    # Masks share no more than their boxes do, nor than the smaller of them has.
    most = torch.minimum(shared, torch.minimum(areas, own_areas)) / torch.maximum(areas, own_areas).clamp(min=1e-6)
    chosen, rows = (most >= MIN_SCORE).nonzero(as_tuple=True)  # (Q,) each
    x, y = raster_points(boxes[chosen], RASTER)  # (Q, R) each
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
        return (0, 0, 0, 0), np.zeros((RASTER, RASTER), dtype=np.bool_), 0
    crop = crop[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    rows, columns = (((np.arange(RASTER) + 0.5) / RASTER * side).astype(np.intp) for side in crop.shape)
    x, y = mask.x + left + int(across[0]), mask.y + top + int(down[0])
    box = (x, y, x + crop.shape[1], y + crop.shape[0])
    return box, crop[np.ix_(rows, columns)], int(np.count_nonzero(crop))
