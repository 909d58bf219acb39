"""Prompts at other places: moved with their target, or inside an object.

transform_prompt  move a prompt with its target
inner_point       a point prompt inside an object
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from streamseg.prompting.history import FrameRecord
from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, SpatialPrompt

__all__ = ["inner_point", "transform_prompt"]

MIN_SIDE_PX: Final = 1.0
"""Minimum side of a box when a scale is computed: a narrower box does not determine the scale."""
MAX_MASK_SIDE_PX: Final = 8192
"""Maximum side of a transformed mask. No camera's image is larger, and neither is the mask of an object in it."""


def inner_point(prompt_id: str, record: FrameRecord, row: int) -> PointPrompt:
    """Return a prompt for a point on an object, near its centre of mass."""
    inside = record.mask_logits[row].astype(np.float32) > 0
    x0, y0, x1, y1 = record.boxes[row].tolist()
    if not inside.any():
        return PointPrompt(prompt_id, (((x0 + x1) / 2, (y0 + y1) / 2),), (1,))
    rows, columns = np.nonzero(inside)
    # The cell on the object that is nearest to its centre of mass.
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    relative = (np.array([columns[nearest], rows[nearest]]) + 0.5) / len(inside)
    relative = relative * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN
    return PointPrompt(prompt_id, ((x0 + float(relative[0]) * (x1 - x0), y0 + float(relative[1]) * (y1 - y0)),), (1,))


def transform_prompt(prompt: SpatialPrompt, before: Float32Array, after: Float32Array) -> SpatialPrompt:
    """Move a prompt with its target: shift and scale it from one box to another.

    Args:
        prompt: the prompt on the target in the box `before`.
        before: (4,) xyxy, box of the target at that time.
        after: (4,) xyxy, its box now.

    Returns:
        The moved prompt; a mask prompt unchanged if its mask would have no pixel left, or a side of more than
        `MAX_MASK_SIDE_PX`.
    """
    begin, end = before.astype(np.float64), after.astype(np.float64)
    sides = (np.maximum(box[2:] - box[:2], MIN_SIDE_PX) for box in (end, begin))
    scale = np.divide(*sides)  # (2,) x, y
    shift = end[:2] - begin[:2] * scale
    match prompt:
        case PointPrompt():
            points = np.array(prompt.point_coords) * scale + shift
            return replace(prompt, point_coords=tuple((float(x), float(y)) for x, y in points))
        case BoxPrompt():
            x0, y0, x1, y1 = (np.array(prompt.box).reshape(2, 2) * scale + shift).ravel().tolist()
            return replace(prompt, box=(x0, y0, x1, y1))
        case MaskPrompt():
            mask = _transform_mask(prompt.mask, scale, shift)
            return prompt if mask is None else replace(prompt, mask=mask)


def _transform_mask(mask: CropMask, scale: Float64Array, shift: Float64Array) -> CropMask | None:
    """Return the scaled and shifted mask, or None if it would be too large or empty."""
    height, width = mask.crop.shape
    x, y = np.rint(np.array([mask.x, mask.y]) * scale + shift).astype(int).tolist()
    size = np.maximum(np.rint(np.array([width, height]) * scale), 1).astype(int).tolist()
    if max(size) > MAX_MASK_SIDE_PX:
        return None
    crop = cv2.resize(mask.crop.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.bool_)
    # Thin masks can fall between the pixels of a small one.
    return CropMask(crop, x, y, mask.space) if crop.any() else None
