"""Masks with soft edges, for compositing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["SoftMask", "blend", "soft_mask"]

FEATHER_PX_AT_720: Final = 3.0
"""Reach of the box filter that softens edges, in pixels, for an image whose short side is 720 pixels."""
RAMP: Final = (0.25, 0.85)
"""Shares of foreground around a pixel at which it is transparent and opaque. A straight edge, of a share of one half,
is half transparent; below the lower end lie single pixels only."""
OPAQUE: Final = 255

_LEVELS = np.clip((np.arange(256) / 255 - RAMP[0]) / (RAMP[1] - RAMP[0]), 0, 1)
_CURVE: Final = np.rint(_LEVELS * OPAQUE).astype(np.uint8)


class SoftMask(NamedTuple):
    """Opacity inside an integer box of the image; the outside is transparent."""

    alpha: npt.NDArray[np.uint8]
    """uint8 (h, w), 0 transparent to 255 opaque; 0 outside the masks. Shape (0, 0) if there is nothing."""
    x: int
    """Left column of the box."""
    y: int
    """Top row of the box."""

    def of(self, image: ImageArray) -> ImageArray:
        """Return the part of an image (H, W, 3) inside the box, as a view."""
        height, width = self.alpha.shape
        return image[self.y : self.y + height, self.x : self.x + width]


def soft_mask(masks: Iterable[CropMask], space: MaskSpace) -> SoftMask:
    """Return the union of masks with edges that are soft towards the inside: no pixel outside a mask is ever visible.

    Args:
        masks: masks in `space`.
        space: their mask space; the result has the pixels of its image.
    """
    height, width = space.image_size
    placed = [one for one in (_placed(mask, space) for mask in masks) if one.crop.size]
    if not placed:
        return SoftMask(np.zeros((0, 0), dtype=np.uint8), 0, 0)
    reach = max(1, round(FEATHER_PX_AT_720 * min(height, width) / 720))
    x0 = max(min(one.x for one in placed) - reach, 0)
    y0 = max(min(one.y for one in placed) - reach, 0)
    x1 = min(max(one.x + one.crop.shape[1] for one in placed) + reach, width)
    y1 = min(max(one.y + one.crop.shape[0] for one in placed) + reach, height)
    hard = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    for one in placed:
        rows, columns = one.crop.shape
        part = hard[one.y - y0 : one.y - y0 + rows, one.x - x0 : one.x - x0 + columns]
        np.bitwise_or(part, one.crop.view(np.uint8), out=part)
    np.negative(hard, out=hard)  # 1 becomes 255
    # Replicated, because an object that leaves the image has no edge there.
    share = cv2.blur(hard, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REPLICATE)
    return SoftMask(cv2.min(cv2.LUT(share, _CURVE), hard), x0, y0)  # type: ignore[arg-type]


def blend(canvas: ImageArray, image: ImageArray, mask: SoftMask) -> None:
    """Paint an image through a soft mask onto a canvas; both (H, W, 3)."""
    if not mask.alpha.size:
        return
    target, source = mask.of(canvas), mask.of(image)
    cv2.copyTo(source, (mask.alpha == OPAQUE).view(np.uint8), target)
    # Only the edges need arithmetic: a few percent of the pixels.
    rows, columns = np.nonzero((mask.alpha > 0) & (mask.alpha < OPAQUE))
    weights = mask.alpha[rows, columns, None].astype(np.int32)
    mixed = source[rows, columns] * weights + target[rows, columns] * (OPAQUE - weights)
    target[rows, columns] = (mixed + OPAQUE // 2) // OPAQUE


def _placed(mask: CropMask, space: MaskSpace) -> CropMask:
    """Return a mask in pixels of the image."""
    if space.size == space.image_size and space.to_image == (1.0, 1.0, 0.0, 0.0):
        return mask
    return CropMask.of(replace(mask, space=space)())
