"""The interface of video models: an image is encoded once, then each object's memory finds its object in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.mask import CropMask

__all__ = ["ObjectMemory", "Seen", "VideoModel"]

Features = TypeVar("Features")
FeaturesIn = TypeVar("FeaturesIn", contravariant=True)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the memory of one object sees in an image."""

    mask: CropMask
    """Mask at the size of the image; empty if the object is not visible."""
    presence: float
    """Probability that the object is visible, 0..1."""
    quality: float
    """Expected IoU of the mask with the object, 0..1."""


class ObjectMemory(Protocol[FeaturesIn]):
    """The memory of one object. Frames come in order; some may be left out."""

    def learn(self, features: FeaturesIn, mask: MaskArray) -> None:
        """Remember a mask as that of the object: to start, or to correct what `find` found in the same image.

        Args:
            features: the encoded image.
            mask: bool (H, W) at the size of the image, with at least one pixel.
        """

    def find(self, features: FeaturesIn) -> Seen:
        """Find the object in an image, after at least one `learn`, and remember what was found."""


class VideoModel(Protocol, Generic[Features]):
    """A model that follows objects by a memory of them."""

    def encode(self, image: ImageArray) -> Features:
        """Encode an image, uint8 (H, W, 3) RGB; once per image, for all objects."""

    def open_object(self) -> ObjectMemory[Features]:
        """Return an empty memory of one object, independent of all others."""
