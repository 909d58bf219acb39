"""The interface of segmenters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from streamseg.structures.arrays import ImageArray
from streamseg.structures.degradation import Degradation
from streamseg.structures.instances import Instances
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.search_regions import SearchRegions

__all__ = ["DeferringSegmenter", "DegradableSegmenter", "Nv12Segmenter", "SegmentFunction"]


class SegmentFunction(Protocol):
    """The interface of segmenters, such as `segmentation.Segmenter`."""

    def __call__(
        self, images: Sequence[ImageArray], regions: Sequence[SearchRegions] | None = None
    ) -> Sequence[Instances]:
        """Return one Instances per image, in order.

        Args:
            images: uint8 (H, W, 3) RGB each.
            regions: where to accept low scores, one per image; a segmenter may ignore them. None: nowhere.
        """


@runtime_checkable
class DegradableSegmenter(Protocol):
    """A segmenter that can process single images at lower quality."""

    def segment_batch(
        self, images: Sequence[ImageArray], regions: Sequence[SearchRegions], degradations: Sequence[Degradation]
    ) -> Sequence[Instances]:
        """Return one Instances per image, in order.

        Args:
            images: uint8 (H, W, 3) RGB each.
            regions: where to accept low scores, one per image.
            degradations: reduced quality, one per image.
        """
        ...


@runtime_checkable
class Nv12Segmenter(Protocol):
    """A segmenter that may take images where they were decoded."""

    @property
    def reads_nv12(self) -> bool:
        """Whether it does; if not, images are converted on the host first."""

    def segment_batch(
        self,
        images: Sequence[ImageArray | Nv12Image],
        regions: Sequence[SearchRegions],
        degradations: Sequence[Degradation],
    ) -> Sequence[Instances]:
        """See `DegradableSegmenter.segment_batch`."""
        ...


@runtime_checkable
class DeferringSegmenter(Protocol):
    """A segmenter that may leave its work after the network to another thread."""

    @property
    def defers(self) -> bool:
        """Whether it does."""

    def begin_batch(
        self, images: Sequence[ImageArray], regions: Sequence[SearchRegions], degradations: Sequence[Degradation]
    ) -> Sequence[Callable[[], Instances]]:
        """Return one function per image, in order, that returns its Instances; each is called once.

        Args:
            images: uint8 (H, W, 3) RGB each.
            regions: where to accept low scores, one per image.
            degradations: reduced quality, one per image.
        """
        ...
