"""A second look at one image: the network's best masks at known places, corrected. Requires only NumPy."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from streamseg.structures.arrays import Float32Array
from streamseg.structures.mask import CropMask

__all__ = ["Look", "SecondLook"]


class Look(NamedTuple):
    """What a second look at one object shows."""

    mask: CropMask
    """The mask at the size of the image, corrected by its pixels; may be empty."""
    quality: float
    """Expected IoU with an object, 0..1."""
    is_found: bool
    """True if it is the network's best mask in the box of the object, whatever its score; False if it is the given one,
    because the two do not agree."""


class SecondLook(Protocol):
    """Looks at objects of an image whose places are known, after its instances have been selected."""

    def __call__(self, boxes: Float32Array, logits: Float32Array, min_iou: float) -> list[Look]:
        """Return one look per object, in order.

        Args:
            boxes: (N, 4) xyxy, pixels of the image, each of some extent; N may be 0.
            logits: (N, Mh, Mw) on the grid of the instances' mask logits: a mask of each object, positive inside.
            min_iou: minimum IoU of the network's mask with the given one, before they are corrected.
        """
