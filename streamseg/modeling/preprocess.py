"""Convert images to the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.geometry import Letterbox
from streamseg.structures.arrays import ImageArray

__all__ = ["PADDING", "check_image", "letterbox_images"]

PADDING = 114
"""Grey value of the letterbox padding, as in the networks' training."""


def check_image(image: npt.NDArray[Any]) -> None:
    """Raise DataError unless `image` is uint8 (H, W, 3) with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise DataError(f"an image must be a NumPy array uint8 (H, W, 3) RGB, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"an image must be uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}")


def letterbox_images(images: Sequence[ImageArray], letterboxes: Sequence[Letterbox]) -> npt.NDArray[np.uint8]:
    """Scale and pad images into one batch.

    Args:
        images: B images, each uint8 (H, W, 3).
        letterboxes: placement of each image; all of the same input size.

    Returns:
        uint8 (B, H, W, 3) of the input size.
    """
    batch = np.full((len(images), *letterboxes[0].input_size, 3), PADDING, dtype=np.uint8)
    for target, image, place in zip(batch, images, letterboxes, strict=True):
        height, width = place.scaled_size
        inside = target[place.top : place.top + height, place.left : place.left + width]
        if image.shape[:2] == place.scaled_size:
            inside[:] = image
        else:
            # OpenCV writes directly into the batch. It rejects views with negative strides (reversed BGR).
            cv2.resize(np.ascontiguousarray(image), (width, height), inside, interpolation=cv2.INTER_LINEAR)
    return batch
