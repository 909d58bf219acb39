"""Opening of image files with Pillow: recognised by content, bounded in pixels and memory, nothing decoded yet."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from streamseg.errors import SourceError, reason_of
from streamseg.imaging.formats import HEAD_BYTES, FileFormat, format_of
from streamseg.imaging.heif import register_heif
from streamseg.imaging.memory import available_bytes

__all__ = [
    "ANIMATED_FORMATS",
    "MAX_PIXELS",
    "UnknownModeError",
    "open_file",
    "open_pillow",
    "read_bytes",
    "require_end",
    "require_memory",
    "unreadable",
]

MAX_PIXELS = 2**30
"""Maximum number of pixels of an image, OpenCV's limit; known from the header, before anything is decoded."""

BYTES_PER_PIXEL = 16
"""Peak memory of decoding: Pillow's pixels, a copy as an array, and the upright RGB image."""
SMALL_PIXELS = 2**25
"""Up to this many pixels, the available memory is not checked."""

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
"""Pillow's names of the formats whose images follow each other in time; those of TIFF and ICO do not."""

# Damaged metadata are no reason for lines on stderr.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_PNG_END = b"IEND\xaeB`\x82"
_TIFF_KIND = 254
_TIFF_REDUCED = 1


class UnknownModeError(SourceError):
    """An intact image of a kind that Pillow cannot represent, such as colours as floats."""


def open_file(path: Path | str) -> BinaryIO:
    """Open a file; the caller closes it.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}") from error


def read_bytes(path: Path | str) -> bytes:
    """Return the content of a file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}") from error


def open_pillow(file: BinaryIO, path: Path | str) -> Image.Image:
    """Open an image without decoding its pixels. Of most formats, only the header is read.

    Args:
        file: the content; it stays open, and is needed as long as the image.
        path: its name in messages.

    Raises:
        SourceError: the format is not an image, or not readable; or the image is damaged or too large.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    found = format_of(head)
    if found is None or found.kind != "image":
        raise SourceError(_other_content(path, head, found))
    Image.init()
    if found.decoder == "HEIF" and not register_heif():
        raise SourceError(
            f"{path} is not a readable image: its format is {found.name}, which no installed library reads; run: pip"
            " install 'streamseg[heic]', or convert it to PNG or JPEG"
        )
    if found.decoder not in Image.OPEN:
        raise SourceError(_other_content(path, head, FileFormat(found.name, "unreadable image")))
    try:
        # Image.open would apply Pillow's own limit, a setting of the whole process.
        image = Image.OPEN[found.decoder][0](file, str(path))
    except Image.DecompressionBombError as error:  # applied by the plugin of WebP itself
        size = str(error).partition(",")[0]
        raise SourceError(f"{path} is too large a WebP ({size}); scale it down, or convert it to PNG") from error
    except Exception as error:  # plugins raise errors of many types for damaged headers
        failure = unreadable(path, error)
        if "unknown pixel mode" in str(error):
            raise UnknownModeError(str(failure)) from error
        raise failure from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise SourceError(f"{path} has {width}x{height} pixels; at most 2^30 are allowed: scale it down or cut it up")
    if found.decoder == "TIFF" and getattr(image, "tag_v2", {}).get(_TIFF_KIND, 0) & _TIFF_REDUCED:
        preview = FileFormat("TIFF with a preview in front (camera raw)", "unreadable image")
        raise SourceError(_other_content(path, head, preview))
    return image


def require_memory(image: Image.Image, path: Path | str) -> None:
    """Check before decoding that a large image fits into memory, because the system ends a process without a message.

    Raises:
        SourceError: it does not fit.
    """
    width, height = image.size
    if width * height <= SMALL_PIXELS:
        return
    needed, available = width * height * BYTES_PER_PIXEL, available_bytes()
    if available is not None and needed > available:
        raise SourceError(
            f"{path} has {width}x{height} pixels, which need about {needed / 1e9:.1f} GB of memory;"
            f" {available / 1e9:.1f} GB are available: scale it down or cut it up"
        )


def _other_content(path: Path | str, head: bytes, found: FileFormat | None) -> str:
    if not head:
        content = "the file is empty"
    elif found is None:
        content = "its content is of no known image format"
    elif found.kind == "unreadable image":
        content = f"its format is {found.name}, which no installed library reads"
    else:
        content = f"its content is {found.name}"
    return f"{path} is not a readable image: {content}; convert it to PNG or JPEG, or remove it"


def require_end(image: Image.Image, data: bytes) -> None:
    """Check that a file with the content `data` has an end, which Pillow does without in PNG files.

    Raises:
        OSError: it has none.
    """
    if image.format == "PNG" and _PNG_END not in data:
        raise OSError("image file is truncated")


def unreadable(path: Path | str, error: Exception) -> SourceError:
    """Return the error of a file whose header or pixels a decoder rejected with `error`."""
    if isinstance(error, MemoryError):
        return SourceError(f"{path} is not a readable image here: not enough memory for it; scale it down")
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    state = "truncated" if "truncated" in text.lower() else f"damaged ({text})"
    return SourceError(f"{path} is not a readable image: the file is {state}; convert it to PNG or JPEG, or remove it")
