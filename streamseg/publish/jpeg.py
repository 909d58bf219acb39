"""JPEG images for messages and the page."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streamseg.errors import PublishError
from streamseg.structures.arrays import ImageArray

__all__ = ["EncodeImage", "SharedJpeg", "encode_jpeg"]

EncodeImage = Callable[[ImageArray], bytes]
"""Returns an image, uint8 (H, W, 3) RGB, as JPEG."""


def encode_jpeg(image: ImageArray, quality: int) -> bytes:
    """Encode an image, uint8 (H, W, 3) RGB, as JPEG of `quality` 1..100; raise PublishError if it is not one."""
    import cv2  # imported here, because only publishing images needs it

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise PublishError(f"an image must be uint8 (H, W, 3) and not empty, got {image.dtype} {image.shape}")
    is_encoded, body = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not is_encoded:
        raise PublishError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be encoded as JPEG")
    return body.tobytes()


@dataclass(eq=False)
class _Encoded:
    """An image and, once somebody has asked for it, its JPEG."""

    image: weakref.ref[ImageArray]
    lock: threading.Lock = field(default_factory=threading.Lock)
    jpeg: bytes | None = None


class SharedJpeg:
    """Encodes each image once for all outputs that need it as JPEG of one quality. Thread-safe.

    An image is recognised by its identity: it must not be modified once it was encoded, as the images of frames are
    not. Results are kept as long as their image.

    Args:
        quality: 1..100.
    """

    def __init__(self, quality: int) -> None:
        self._quality = quality
        self._lock = threading.Lock()
        self._known: dict[int, _Encoded] = {}

    def __call__(self, image: ImageArray) -> bytes:
        """Return an image, uint8 (H, W, 3) RGB, as JPEG; raise PublishError if it is not one."""
        with self._lock:
            entry = self._known.get(id(image))
            if entry is None or entry.image() is not image:
                self._known = {key: one for key, one in self._known.items() if one.image() is not None}
                entry = self._known[id(image)] = _Encoded(weakref.ref(image))
        with entry.lock:
            if entry.jpeg is None:
                entry.jpeg = encode_jpeg(image, self._quality)
            return entry.jpeg
