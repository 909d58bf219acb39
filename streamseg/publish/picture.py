"""The picture of a message."""

import numpy as np
import numpy.typing as npt

from streamseg.errors import PublishError

__all__ = ["encode_jpeg"]


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """A picture, uint8 (H, W, 3) RGB, as JPEG of `quality` 1..100; raises PublishError where it is none."""
    import cv2  # only who publishes pictures needs it

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise PublishError(f"a picture must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    is_encoded, body = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not is_encoded:
        raise PublishError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be encoded as JPEG")
    return body.tobytes()
