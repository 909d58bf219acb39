"""The kind of source that a local file needs, by its content."""

from __future__ import annotations

from pathlib import Path

from streamseg.config import ImagesSource, SourceConfig, StreamSource
from streamseg.config.address import is_network, local_path
from streamseg.errors import SourceError
from streamseg.imaging import FileFormat, file_format, num_animation_frames

__all__ = ["fit_to_content", "is_animation"]

_NEXT_JPEG = b"\xff\xd9\xff\xd8\xff"
"""End of a JPEG image directly followed by the start of another one."""
_MPF = b"MPF\x00"
"""Marker of a JPEG file that holds further images on purpose (MPF, CIPA DC-007)."""
_SEARCHED_BYTES = 1 << 24


def fit_to_content(config: SourceConfig) -> SourceConfig:
    """Return the section that fits the content of a local file, whatever its suffix; other sources unchanged.

    A still image becomes a section of type images, except a stream that repeats it (`loop`). An animated image and a
    video become a section of type stream.
    """
    if isinstance(config, ImagesSource):
        path = Path(config.path)
    elif isinstance(config, StreamSource) and not is_network(config.url):
        path = local_path(config.url)
    else:
        return config
    found = _format_of(path)
    if found is None:
        return config
    is_image = found.kind in ("image", "unreadable image")
    is_sequence = found.kind == "video" or (is_image and (is_animation(path) or _is_motion_jpeg(path, found)))
    if isinstance(config, ImagesSource) and is_sequence:
        return StreamSource(id=config.id, frame_id=config.frame_id, url=str(path))
    if isinstance(config, StreamSource) and is_image and not is_sequence and not config.loop:
        return ImagesSource(id=config.id, frame_id=config.frame_id, path=str(path))
    return config


def is_animation(path: Path) -> bool:
    """Return whether a file is an animated GIF, WebP, PNG or AVIF image; False if it cannot be read."""
    found = _format_of(path)
    try:
        return found is not None and found.kind == "image" and num_animation_frames(path) > 1
    except SourceError:
        return False


def _format_of(path: Path) -> FileFormat | None:
    try:
        return file_format(path) if path.is_file() else None
    except OSError:
        return None


def _is_motion_jpeg(path: Path, found: FileFormat) -> bool:
    """Return whether a file is a sequence of JPEG images; photographs with a second image declare it in a header."""
    if found.name != "JPEG":
        return False
    with path.open("rb") as file:
        start = file.read(_SEARCHED_BYTES)
    return _NEXT_JPEG in start and _MPF not in start[: 1 << 16]
