"""The track id of each pixel of a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject

__all__ = ["MAX_ID", "IdPainter", "pixel_id"]

MAX_ID: Final = 65535
"""Largest value of a pixel of 16 bits."""

IDENTITY: Final = (1.0, 1.0, 0.0, 0.0)
"""`Message.mask_to_image` of masks in pixels of the image."""


def pixel_id(track_id: int) -> int:
    """Return the pixel value of a track: its id, which starts again at 1 after `MAX_ID`; 0 for a tentative object."""
    return (track_id - 1) % MAX_ID + 1 if track_id > 0 else 0


class IdPainter:
    """Paints id images. Its memory is reused, because the page faults of new memory take longer than the painting."""

    def __init__(self) -> None:
        self._ranks: npt.NDArray[np.uint8 | np.uint16] = np.zeros((0, 0), dtype=np.uint8)
        self._ids: npt.NDArray[np.uint16] = np.zeros((0, 0), dtype=np.uint16)

    def __call__(self, message: Message) -> npt.NDArray[np.uint16]:
        """Return the track id of each pixel of the source image, uint16 (H, W); 0 is background.

        Of overlapping masks, the smallest is on top, so that parts remain visible on their whole. Tentative objects are
        missing, because their identity is not known. The result is valid until the next call.
        """
        found = sorted((one for one in message.objects if one.track_id > 0), key=lambda one: -one.area)
        self._paint_ranks(found, message)
        values = np.zeros(max(len(found) + 1, 256), dtype=np.uint16)
        values[1 : len(found) + 1] = [pixel_id(one.track_id) for one in found]
        if self._ranks.dtype == np.uint8 and self._ranks.size:
            cv2.LUT(self._ranks, values, dst=self._ids)
        else:
            np.take(values, self._ranks, out=self._ids)
        return self._ids

    def _paint_ranks(self, found: list[MessageObject], message: Message) -> None:
        """Write the position in `found`, from 1, of the last object that contains each pixel.

        The maximum of bytes takes half as long as a copy of the masked pixels.
        """
        kind = np.dtype(np.uint8 if len(found) < 256 else np.uint16)
        if self._ranks.shape != message.image_size or self._ranks.dtype != kind:
            self._ranks = np.zeros(message.image_size, dtype=kind)
            self._ids = np.zeros(message.image_size, dtype=np.uint16)
        else:
            self._ranks.fill(0)
        is_image_space = message.mask_size == message.image_size and message.mask_to_image == IDENTITY
        for rank, one in enumerate(found, 1):
            mask = one.mask if is_image_space else CropMask.of(replace(one.mask, space=message.mask_space)())
            height, width = mask.crop.shape
            place = self._ranks[mask.y : mask.y + height, mask.x : mask.x + width]
            np.maximum(place, mask.crop.view(np.uint8) * kind.type(rank), out=place)
