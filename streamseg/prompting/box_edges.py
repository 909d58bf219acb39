"""What a drawn box says about the network's boxes of the same object.

A network's box is too large or too small on the same sides in frame after frame: it includes a shadow, or omits feet. A
drawn box touches its object. The difference between the two in the frame of the prompt therefore corrects the network's
boxes of the target in later frames, and its masks are fitted to the corrected boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from streamseg.geometry import box_iou
from streamseg.structures.arrays import Float32Array, Float64Array

__all__ = ["BoxEdges"]

MIN_IOU: Final = 0.6
"""Minimum IoU of the drawn box with the network's; below it, the network's box is another object, or a part of it."""
MAX_SHIFT: Final = 0.25
"""Maximum shift of an edge, as a fraction of the box side."""
MIN_SHIFT: Final = 0.05
"""Shift of the farthest edge below which the network's box counts as right: people draw no more exactly."""
TRUST: Final = 0.7
"""Share of the shifts that is applied: the rest is what a careless hand adds, and what changes in later frames."""
FADE: Final = 0.8
"""Change of the logarithm of the aspect ratio at which nothing is shifted any more: the object shows another side."""


@dataclass(frozen=True, eq=False)
class BoxEdges:
    """Shifts of the edges of the network's boxes of one object."""

    shifts: Float64Array
    """(4,), left, top, right, bottom: as fractions of the box's width and height; positive to the right and down."""
    aspect: float
    """Logarithm of the ratio of width and height of the network's box in the frame of the drawn one."""

    @classmethod
    def of(
        cls, drawn: tuple[float, float, float, float], found: Float32Array, image_size: tuple[int, int]
    ) -> BoxEdges | None:
        """Return the shifts from the network's box to the drawn one; None if they differ too much, or hardly.

        Args:
            drawn: xyxy in pixels of the image.
            found: (4,) xyxy, the network's box of the same object in the same frame.
            image_size: (H, W). A drawn box is cut off at its border.
        """
        box, own = _clipped(np.asarray(drawn, np.float64), image_size), found.astype(np.float64)
        sides = _sides(own)
        iou = box_iou(torch.from_numpy(box)[None], torch.from_numpy(own)[None])
        if not (sides > 0).all() or float(iou) < MIN_IOU:
            return None
        shifts = np.where(_are_at_border(box, image_size), 0, (box - own) / sides).clip(-MAX_SHIFT, MAX_SHIFT)
        return cls(TRUST * shifts, _aspect(sides)) if np.abs(shifts).max() >= MIN_SHIFT else None

    def corrected(self, box: Float32Array, image_size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """Return the box of the object, xyxy inside the image (H, W), given the network's box (4,) in any frame.

        Edges at the border of the image, where objects are cut off, stay there. None if the shape of the network's box
        has changed so much that its edges are unknown.
        """
        own = box.astype(np.float64)
        sides = _sides(own)
        share = 1 - abs(_aspect(sides) - self.aspect) / FADE if (sides > 0).all() else 0.0
        if share <= 0:
            return None
        moved = _clipped(own + share * self.shifts * sides, image_size)
        x0, y0, x1, y1 = np.where(_are_at_border(own, image_size), own, moved).tolist()
        return x0, y0, x1, y1


def _sides(box: Float64Array) -> Float64Array:
    """Return the width and height of a box (4,), twice: (4,)."""
    sides: Float64Array = np.tile(box[2:] - box[:2], 2)
    return sides


def _aspect(sides: Float64Array) -> float:
    return float(np.log(sides[0] / sides[1]))


def _clipped(box: Float64Array, image_size: tuple[int, int]) -> Float64Array:
    clipped: Float64Array = box.clip(0, np.tile(image_size[::-1], 2))
    return clipped


def _are_at_border(box: Float64Array, image_size: tuple[int, int]) -> Float64Array:
    """Return which edges (4,) of a box are within a pixel of the border of the image."""
    height, width = image_size
    at_border: Float64Array = np.concatenate((box[:2] < 1, box[2:] > np.array([width, height]) - 1))
    return at_border
