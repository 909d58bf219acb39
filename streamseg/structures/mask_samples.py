"""Masks of instances that were computed together with them, by the device or the refiner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from streamseg.structures.mask import CropMask

__all__ = ["LOGIT_LIMIT", "SILHOUETTE_TILES", "WIDENED_CELLS", "MaskSamples", "PixelMasks"]

SILHOUETTE_TILES: Final = 16
"""Tiles per side of a silhouette, as tracking compares them."""

WIDENED_CELLS: Final = 24
"""Cells per side of a widened box, as the history of prompts records masks and as the refiner corrects them."""

LOGIT_LIMIT: Final = 1e4
"""Limit of recorded logits. Half precision ends at 65504; no network's logits come near."""


class PixelMasks:
    """Masks at the size of the image, unpacked on first use, all of an image at once.

    Args:
        unpack: returns the masks of all objects of the image.
        rows: int64 (K,), the rows of these masks among all.
    """

    def __init__(self, unpack: Callable[[], Sequence[CropMask]], rows: Tensor) -> None:
        self._unpack = unpack
        self._rows = rows

    def select(self, choose: Callable[[Tensor], Tensor]) -> PixelMasks:
        """Return the masks of some rows."""
        return PixelMasks(self._unpack, choose(self._rows))

    def __call__(self) -> list[CropMask]:
        """Return the masks, as `segmentation.instance_masks` computes them from logits."""
        every = self._unpack()
        return [every[row] for row in self._rows.tolist()]


@dataclass(frozen=True, eq=False)
class MaskSamples:
    """Samples of K masks on the host, corrections included."""

    silhouettes: Tensor | None
    """bool (K, T, T), T = `SILHOUETTE_TILES`: as `geometry.silhouettes` gives them; None: not computed."""
    widened: Tensor
    """float16 (K, R, R), R = `WIDENED_CELLS`: logits over the boxes and `CORRECTION_MARGIN` around them."""
    pixels: PixelMasks | None
    """The masks in pixels; None if they must be computed from logits."""

    def select(self, choose: Callable[[Tensor], Tensor]) -> MaskSamples:
        """Return the samples of some rows, given the function that selects them from a tensor."""
        pixels = None if self.pixels is None else self.pixels.select(choose)
        silhouettes = None if self.silhouettes is None else choose(self.silhouettes)
        return MaskSamples(silhouettes, choose(self.widened), pixels)

    @classmethod
    def of(cls, silhouettes: Tensor, widened: Tensor, unpack: Callable[[], Sequence[CropMask]] | None) -> MaskSamples:
        """Return the samples of all objects of an image."""
        pixels = None if unpack is None else PixelMasks(unpack, torch.arange(len(silhouettes)))
        return cls(silhouettes, widened, pixels)
