"""Masks of one frame, of which those with a known box are fitted to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from streamseg.segmentation import instance_masks
from streamseg.segmentation.box_fit import fit_rows
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import Selection

__all__ = ["fitted_masks"]


def fitted_masks(
    tracked: Tracked, selections: Sequence[Selection], size: tuple[int, int]
) -> tuple[Tracked, Callable[[list[int]], Sequence[CropMask]]]:
    """Return the instances with the boxes that their masks fit, and a function that makes the masks of some rows.

    Args:
        tracked: the instances. Without corrections by a refiner, nothing is fitted.
        selections: the matches of all prompts. If several have a `fit_box` for one row, the first one counts.
        size: (H, W) of the masks.
    """
    instances = tracked.instances
    boxes: dict[int, tuple[float, float, float, float]] = {}
    for selection in selections:
        if selection.fit_box is not None:
            boxes.setdefault(selection.rows[0], selection.fit_box)
    if not boxes or instances.corrections is None:
        return tracked, partial(instance_masks, instances, size=size)
    rows = list(boxes)
    wanted = torch.tensor([boxes[row] for row in rows], device=instances.boxes.device)
    fitted = fit_rows(instances[rows], wanted)
    moved = instances.boxes.clone()
    moved[rows] = wanted
    shown = replace(tracked, instances=replace(instances, boxes=moved))
    return shown, partial(_masks, instances, fitted, {row: position for position, row in enumerate(rows)}, size)


def _masks(
    instances: Instances, fitted: Instances, positions: dict[int, int], size: tuple[int, int], rows: list[int]
) -> list[CropMask]:
    """Return the masks of some rows, those with a position among the fitted ones from there."""
    chosen = [positions[row] for row in rows if row in positions]
    others = [row for row in rows if row not in positions]
    masks = dict(zip(others, instance_masks(instances, others, size=size), strict=True)) if others else {}
    if chosen:
        exact = instance_masks(fitted, chosen, size=size)
        masks |= dict(zip((row for row in rows if row in positions), exact, strict=True))
    return [masks[row] for row in rows]
