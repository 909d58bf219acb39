"""A prompt that goes along with what it means."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt

__all__ = ["moved"]

MIN_SIDE_PX = 1.0
"""Of a box: what is narrower says nothing about the scale."""
MAX_MASK_SIDE_PX = 8192
"""No camera's picture is larger, and no mask that means an object in it."""


def moved(prompt: SpatialPrompt, before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> SpatialPrompt:
    """The same prompt where its object is now.

    Args:
        prompt: as it lay on the object.
        before: (4,) xyxy, the object's box at that time.
        after: (4,) xyxy, its box now; the prompt is shifted and stretched as this one is against the other.

    Returns:
        The prompt; as it was where its mask would have no pixel left, or a side of more than `MAX_MASK_SIDE_PX`.
    """
    begin, end = before.astype(np.float64), after.astype(np.float64)
    sides = (np.maximum(box[2:] - box[:2], MIN_SIDE_PX) for box in (end, begin))
    scale = np.divide(*sides)  # (2,) x, y
    shift = end[:2] - begin[:2] * scale
    if isinstance(prompt, PointPrompt):
        points = np.array(prompt.point_coords) * scale + shift
        return replace(prompt, point_coords=tuple((float(x), float(y)) for x, y in points))
    if isinstance(prompt, BoxPrompt):
        x0, y0, x1, y1 = (np.array(prompt.box).reshape(2, 2) * scale + shift).ravel().tolist()
        return replace(prompt, box=(x0, y0, x1, y1))
    mask = prompt.mask
    height, width = mask.crop.shape
    x, y = np.rint(np.array([mask.x, mask.y]) * scale + shift).astype(int).tolist()
    size = np.maximum(np.rint(np.array([width, height]) * scale), 1).astype(int).tolist()
    if max(size) > MAX_MASK_SIDE_PX:
        return prompt
    crop = cv2.resize(mask.crop.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.bool_)
    # Thin masks can fall between the pixels of a small one.
    return replace(prompt, mask=CropMask(crop, x, y)) if crop.any() else prompt
