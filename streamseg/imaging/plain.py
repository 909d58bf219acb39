"""Image files that every program reads alike."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final, NamedTuple

from streamseg.imaging.opening import open_pillow, read_bytes
from streamseg.imaging.pixels import orientation_of

__all__ = ["PlainFile", "plain_file"]

SUFFIXES: Final = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",)}
"""Usual suffixes by Pillow's names of the formats; MPO is a JPEG with further images behind it."""


class PlainFile(NamedTuple):
    """The content of a plain image file."""

    suffix: str
    """Suffix of the format, which may differ from that of the file's name: ".jpg", ".jpeg", ".png" or ".bmp"."""
    content: bytes


def plain_file(path: Path) -> PlainFile | None:
    """Return an image file's content if every program reads the same pixels from it as `load_image`.

    Returns:
        None if other programs would see other pixels, or none: another format than JPEG, PNG and BMP, an EXIF turn,
        CMYK, alpha, a palette, more than 8 bits, or an animation.

    Raises:
        SourceError: as `load_image`, except for damaged pixels.
    """
    content = read_bytes(path)
    image = open_pillow(io.BytesIO(content), path)
    suffixes = SUFFIXES.get(image.format or "", ())
    is_animated = image.format == "PNG" and getattr(image, "is_animated", False)
    is_deep = image.format == "PNG" and content[24:25] == b"\x10"  # bits per sample, in the first chunk
    is_plain = image.mode in ("L", "RGB") and not image.has_transparency_data and orientation_of(image) == 1
    if not suffixes or not is_plain or is_animated or is_deep:
        return None
    suffix = path.suffix.lower()
    return PlainFile(path.suffix if suffix in suffixes else suffixes[0], content)
