"""Writing of single images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import DataError, reason_of
from streamseg.structures.arrays import ImageArray

__all__ = ["encode_image", "write_image"]


def encode_image(suffix: str, image: ImageArray) -> bytes:
    """Return an image as the content of a file with this suffix, such as ".png".

    Args:
        suffix: suffix of the file name.
        image: uint8 (H, W, 3) RGB, or (H, W, 4) with the opacity, for formats that have one.

    Raises:
        DataError: the suffix is not an image format.
    """
    if not suffix or not cv2.haveImageWriter(f"image{suffix}"):
        raise DataError(f"cannot write {suffix or 'no suffix'} as an image; use a suffix such as .png or .jpg")
    channels = [2, 1, 0, 3][: image.shape[2]]
    _, encoded = cv2.imencode(suffix, np.ascontiguousarray(image[:, :, channels]))
    return encoded.tobytes()


def write_image(path: Path, image: ImageArray) -> None:
    """Write an image, as in `encode_image`, in the format of the path's suffix; create its folder.

    Raises:
        DataError: the suffix is not an image format, or the file cannot be written.
    """
    if not path.suffix or not cv2.haveImageWriter(path.name):
        raise DataError(f"cannot write {path}: the suffix must be an image format, such as .png or .jpg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(path.suffix, image))
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason_of(error)}") from error
