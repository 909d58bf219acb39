"""JPEG images for messages and the page."""

from __future__ import annotations

import numpy as np

from streamseg.errors import PublishError
from streamseg.structures.arrays import ImageArray

__all__ = ["encode_jpeg"]


def encode_jpeg(image: ImageArray, quality: int) -> bytes:
    """Encode an image, uint8 (H, W, 3) RGB, as JPEG of `quality` 1..100; raise PublishError if it is not one."""
    import cv2  # imported here, because only publishing images needs it

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise PublishError(f"an image must be uint8 (H, W, 3) and not empty, got {image.dtype} {image.shape}")
    is_encoded, body = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not is_encoded:
        raise PublishError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be encoded as JPEG")
    return body.tobytes()
