"""Conversion of Pillow images of every mode, and of arrays deeper than 8 bits, to uint8 RGB."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from streamseg.structures.arrays import ImageArray

__all__ = ["ALPHA_BACKGROUND", "on_background", "orientation_of", "rgb_from_pillow", "scale_to_uint8", "turn"]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=np.generic)

ALPHA_BACKGROUND = (255, 255, 255)
"""RGB colour under transparent pixels: white, as on paper and on pages."""

ORIENTATION_TAG = 0x0112
OUTLIERS_PERCENT = 0.1
"""Percentage of the values at each end of a grey image's range that may be clipped, so that a single defective pixel
does not determine it."""
BIT_DEPTHS = (8, 10, 12, 14, 16, 24, 32, 64)
"""Bit depths of cameras and scanners."""
LEAST_RANGE = 0.25
"""Part of 0 to 255 that a grey image must use if it is not to be stretched."""
PERCENTILE_VALUES = 1_000_000
"""Approximate number of values from which percentiles are computed."""
STRIP_VALUES = 2**22
"""Approximate number of values that are converted at once."""
_reported: set[str] = set()


def rgb_from_pillow(image: Image.Image, name: str = "", *, upright: bool = True) -> ImageArray:
    """Return a Pillow image as uint8 (H, W, 3) RGB, by default upright by its EXIF orientation.

    Transparent pixels are composited on `ALPHA_BACKGROUND`. Values of more than 8 bits are scaled, see
    `scale_to_uint8`; Pillow itself keeps them for grey images only, and reduces colours to their upper 8 bits.

    Args:
        image: any mode; it is loaded, not changed.
        name: name for the report on scaled values.
        upright: False to ignore the EXIF orientation.

    Raises:
        OSError: the file of an image that is not yet loaded is damaged.
    """
    image.load()
    orientation = orientation_of(image) if upright else 1
    if image.mode.startswith("I") or image.mode == "F":
        grey = scale_to_uint8(np.asarray(image), name)
        return turn(np.repeat(grey[:, :, None], 3, axis=2), orientation)
    if image.has_transparency_data:
        return turn(on_background(np.asarray(image.convert("RGBA"), np.uint8)), orientation)
    return turn(np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8), orientation)


def on_background(rgba: npt.NDArray[np.uint8]) -> ImageArray:
    """Composite uint8 (H, W, 4) RGBA on `ALPHA_BACKGROUND`; returns (H, W, 3) RGB."""
    if (rgba[:, :, 3] == 255).all():
        return np.ascontiguousarray(rgba[:, :, :3])
    background = np.array(ALPHA_BACKGROUND, np.uint32)
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    for rows in _strips(rgba.shape):
        alpha = rgba[rows, :, 3:].astype(np.uint32)
        rgb[rows] = (rgba[rows, :, :3] * alpha + background * (255 - alpha) + 127) // 255
    return rgb


def orientation_of(image: Image.Image, *, decode: bool = True) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if it is absent, unreadable or out of range.

    Args:
        image: any image.
        decode: False to ignore what Pillow finds only while it decodes the pixels: metadata after those of a PNG file.
    """
    try:
        exif = image.getexif() if decode else Image.Image.getexif(image)
        value: Any = exif.get(ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF data raise errors of many types, and are no reason to reject the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn(stored: npt.NDArray[T], orientation: int) -> npt.NDArray[T]:
    """Turn stored pixels (H, W, …) upright, by an EXIF orientation from 1 to 8 (Exif 2.32, 4.6.4)."""
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def scale_to_uint8(values: npt.NDArray[Any], name: str = "") -> npt.NDArray[np.uint8]:
    """Scale an image of more than 8 bits per value, integer or float, to uint8 by the range of its own values.

    Integers keep their upper 8 bits of the smallest of `BIT_DEPTHS` that holds the largest value. Grey images that then
    would use less than `LEAST_RANGE` of 0 to 255, such as thermal images, are stretched: their lowest value becomes 0
    and their highest one 255, except for `OUTLIERS_PERCENT` at each end. Floats are stretched, in grey images from the
    lowest value, in colours from 0. The scaling is reported once per process.

    Args:
        values: (H, W) grey or (H, W, 3) colours. NaN and infinities become 0.
        name: name for the report.
    """
    finite = values if values.dtype.kind in "iu" else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = _range_of(finite, is_float=values.dtype.kind == "f")
    if "scaled" not in _reported:
        _reported.add("scaled")
        logger.warning(
            "%s has more than 8 bits per value: %.6g to %.6g are scaled to 0 to 255; the same is done, unreported, for"
            " all such images, each by its own range",
            name or "an image",
            low,
            high,
        )
    scaled = np.empty(values.shape, np.uint8)
    for rows in _strips(values.shape):  # rounded down, as in OpenCV and Pillow
        scaled[rows] = np.clip((finite[rows].astype(np.float64) - low) * (255 / (high - low)), 0, 255)
    return scaled


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of an image (H, W, …) in strips, because intermediate values need several times its memory."""
    step = max(STRIP_VALUES // max(int(np.prod(shape[1:])), 1), 1)
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _range_of(values: npt.NDArray[Any], *, is_float: bool) -> tuple[float, float]:
    """Return the values that become 0 and 255; they differ."""
    largest = max(float(values.max()), 0.0) if values.size else 0.0
    limit = largest if is_float else 255 * 2.0 ** (next(bits for bits in BIT_DEPTHS if largest < 2**bits) - 8)
    if values.ndim == 2 and values.size:
        some = values.ravel()[:: max(values.size // PERCENTILE_VALUES, 1)].astype(np.float64)
        low, high = np.percentile(some, (OUTLIERS_PERCENT, 100 - OUTLIERS_PERCENT)).tolist()
        if low == high:
            low, high = float(values.min()), largest
        if low < high and (is_float or low < 0 or high - low < LEAST_RANGE * limit):
            return low, high
    return 0.0, limit if limit > 0 else 1.0
