"""Reader of image files. Libraries: Pillow for nearly all formats, OpenCV for colours of 16 bits and for HDR."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging.formats import HEAD_BYTES, format_of
from streamseg.imaging.opening import (
    ANIMATED_FORMATS,
    UnknownModeError,
    open_file,
    open_pillow,
    read_bytes,
    require_end,
    require_memory,
    unreadable,
)
from streamseg.imaging.pixels import on_background, orientation_of, rgb_from_pillow, scale_to_uint8, turn
from streamseg.structures.arrays import ImageArray

logger = logging.getLogger(__name__)

__all__ = ["decode_image", "image_sizes", "load_image", "quiet_opencv"]

_PNG_METADATA = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
_TIFF_BITS = 258


def load_image(path: Path | str, *, upright: bool = True) -> ImageArray:
    """Load an image as uint8 (H, W, 3) RGB; the content decides its format, not the suffix.

    See `rgb_from_pillow` for EXIF orientation, alpha and more than 8 bits. CMYK, palettes and grey are converted. Of
    an animation or a file of several pages, the first image is returned.

    Args:
        path: the file.
        upright: False to ignore the EXIF orientation, for labels that refer to the stored pixels; it has no effect on
            TIFF files, which Pillow turns itself.

    Raises:
        SourceError: the file cannot be read, is truncated or damaged, is of another format, which the message names,
            or has more than `MAX_PIXELS` pixels.
    """
    return decode_image(read_bytes(path), path, upright=upright)


def decode_image(data: bytes, path: Path | str, *, upright: bool = True) -> ImageArray:
    """Decode the content of an image file, as `load_image` does; `path` is its name in messages."""
    found = format_of(data[:HEAD_BYTES])
    if found is not None and found.decoder == "opencv":
        # OpenCV clips the brightest pixels of HDR photographs; by their own range, the others would be black.
        return _from_opencv(data, path, cv2.IMREAD_UNCHANGED if found.name == "PNM" else cv2.IMREAD_COLOR)
    try:
        image = open_pillow(io.BytesIO(data), path)
    except UnknownModeError:
        return _from_opencv(data, path, cv2.IMREAD_UNCHANGED)
    require_memory(image, path)
    try:
        require_end(image, data)
        if image.format in ANIMATED_FORMATS and getattr(image, "is_animated", False):
            logger.warning("%s is an animation: only its first image is used", path)
        if _is_deep_colour(image, data):
            return _deep_colours(image, data, path, upright=upright)
        return rgb_from_pillow(image, str(path), upright=upright)
    except SourceError:
        raise
    except Exception as error:  # decoders raise errors of many types for damaged pixels
        raise unreadable(path, error) from error


def image_sizes(path: Path | str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size (H, W) of an image upright and as stored, from its header; formats of OpenCV are decoded.

    Raises:
        SourceError: as `load_image`, except for damaged pixels.
    """
    with open_file(path) as file:
        found = format_of(file.read(HEAD_BYTES))
        file.seek(0)
        try:
            image = None if found is not None and found.decoder == "opencv" else open_pillow(file, path)
        except UnknownModeError:
            image = None
        if image is None:
            height, width = load_image(path).shape[:2]
            return (height, width), (height, width)
        stored = (image.height, image.width)
        if image.format == "TIFF":  # turned by Pillow
            return stored, stored
        decodes = image.format == "PNG" and _has_late_metadata(file)
        return stored[::-1] if orientation_of(image, decode=decodes) >= 5 else stored, stored


def _has_late_metadata(file: BinaryIO) -> bool:
    """Return whether metadata follow the pixels of a PNG file, so that Pillow decodes these to reach them."""
    position, has_pixels = 8, False
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return False
        has_pixels |= head[4:] == b"IDAT"
        if has_pixels and head[4:] in _PNG_METADATA:
            return True
        position += 12 + int.from_bytes(head[:4])


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Return whether Pillow would reduce the image's values to 8 bits regardless of their range."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    if image.format == "PNG":
        return data[24:25] == b"\x10"
    bits: Any = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))
    return bool(max(bits) > 8)


def _deep_colours(image: Image.Image, data: bytes, path: Path | str, *, upright: bool) -> ImageArray:
    """Read colours of 16 bits with OpenCV, after Pillow has checked that the file is complete."""
    orientation = orientation_of(image)
    image.load()
    if image.format == "TIFF" and orientation != 1:  # OpenCV's own turn of TIFF files fails for some orientations
        return rgb_from_pillow(image, str(path))
    values = _decode(data, path, cv2.IMREAD_UNCHANGED)
    if values.dtype == np.uint8 or values.ndim != 3:
        return rgb_from_pillow(image, str(path), upright=upright)
    colours = values[:, :, 2::-1]
    scaled = scale_to_uint8(colours[:, :, 0], str(path)) if image.mode == "LA" else scale_to_uint8(colours, str(path))
    if scaled.ndim == 2:
        scaled = np.repeat(scaled[:, :, None], 3, axis=2)
    if values.shape[2] == 4:
        scaled = on_background(np.dstack([scaled, (values[:, :, 3] >> 8).astype(np.uint8)]))
    return turn(scaled, orientation if upright else 1)


def _from_opencv(data: bytes, path: Path | str, flags: int) -> ImageArray:
    values = _decode(data, path, flags)
    if values.ndim != 3 or values.shape[2] not in (3, 4):
        raise SourceError(f"{path} is not a readable image: its channels are {values.shape[2:]}; convert it to PNG")
    colours = np.ascontiguousarray(values[:, :, 2::-1])
    return colours if colours.dtype == np.uint8 else scale_to_uint8(colours, str(path))


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Suppress OpenCV's own messages on stderr inside the block, because our errors already contain them.

    The log level applies to the whole process, not to the thread.
    """
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _decode(data: bytes, path: Path | str, flags: int) -> npt.NDArray[Any]:
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise SourceError(
            f"{path} is not a readable image: it is damaged, or has more than 2^30 pixels; convert it to PNG or JPEG"
        ) from error
    if image is None:
        raise SourceError(f"{path} is not a readable image: the file is damaged; convert it to PNG or JPEG")
    return np.asarray(image)
