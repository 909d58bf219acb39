"""A segmenter that takes as long as a network on a slow machine: real time per image, less at reduced quality."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from streamseg.structures.arrays import ImageArray
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.instances import Instances
from streamseg.structures.search_regions import SearchRegions
from tests.support.stages import SquareSegmenter

__all__ = ["SlowMachine"]

PLAIN_COST = 0.5
"""Cost of an image without the refiner, relative to one with it."""


class SlowMachine:
    """Finds what `SquareSegmenter` finds, one image after the other.

    Args:
        seconds: time per image at the configured quality; may be changed at any time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._finds = SquareSegmenter()
        self._never = threading.Event()

    def offers(self, degradation: Degradation) -> bool:
        return degradation.is_cheaper

    def __call__(self, images: Sequence[ImageArray], regions: Sequence[SearchRegions] | None = None) -> list[Instances]:
        return self.segment_batch(images, [], [NO_DEGRADATION] * len(images))

    def segment_batch(
        self, images: Sequence[ImageArray], regions: Sequence[SearchRegions], degradations: Sequence[Degradation]
    ) -> list[Instances]:
        for degradation in degradations:
            cost = (PLAIN_COST if degradation.plain_masks else 1.0) * degradation.imgsz_scale**2
            self._never.wait(self.seconds * cost)
        return self._finds(images)
