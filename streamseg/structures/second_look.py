"""A second look at one image: the network's best mask in a box, and corrections of other masks. Requires only NumPy."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from streamseg.structures.arrays import Float32Array
from streamseg.structures.mask import CropMask

__all__ = ["Look", "SecondLook", "SharpMask"]


class SharpMask(NamedTuple):
    """A mask at the size of the image."""

    mask: CropMask
    """May be empty."""
    quality: float
    """Expected IoU with an object, 0..1."""


class Look(NamedTuple):
    """What a second look at one object shows."""

    found: SharpMask
    """The network's best mask in the box of the object, whatever its score."""
    corrected: SharpMask
    """The given mask of the object, corrected by the pixels of the image."""


class SecondLook(Protocol):
    """Looks at objects of an image whose places are known, after its instances have been selected."""

    def __call__(self, boxes: Float32Array, logits: Float32Array) -> list[Look]:
        """Return one look per object, in order.

        Args:
            boxes: (N, 4) xyxy, pixels of the image, each of some extent; N may be 0.
            logits: (N, Mh, Mw) on the grid of the instances' mask logits: a mask of each object, positive inside.
        """
