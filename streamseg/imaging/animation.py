"""Animated GIF, WebP, PNG and AVIF files as a sequence of frames with times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging.pixels import rgb_from_pillow
from streamseg.imaging.reader import ANIMATED_FORMATS, open_pillow, read_bytes
from streamseg.structures.arrays import ImageArray

__all__ = ["AnimationFrame", "animation_frames", "num_animation_frames"]

DEFAULT_MS = 100.0
"""Duration of a frame that declares none, or less than `SHORTEST_MS`, as in browsers."""
SHORTEST_MS = 11.0


class AnimationFrame(NamedTuple):
    """One frame of an animation."""

    image: ImageArray
    """uint8 (H, W, 3) RGB, composed with the earlier frames."""
    seconds: float
    """Time since the start of the animation."""
    duration_seconds: float


def num_animation_frames(path: Path) -> int:
    """Return the number of frames of an image file, 1 if it is not animated, and 0 if it is not a readable image.

    Raises:
        SourceError: the file cannot be read.
    """
    data = read_bytes(path)
    try:
        return _num_frames(open_pillow(data, path))
    except SourceError:
        return 0


def animation_frames(path: Path) -> Iterator[AnimationFrame]:
    """Yield the frames of an animation, once, each decoded on demand.

    Raises:
        SourceError: the file cannot be read, or is truncated or damaged; the frames before that are intact.
    """
    image = open_pillow(read_bytes(path), path)
    seconds = 0.0
    for number in range(max(_num_frames(image), 1)):
        try:
            image.seek(number)
            rgb = rgb_from_pillow(image, str(path))
        except Exception as error:  # decoders raise errors of many types for damaged frames
            raise SourceError(f"{path} is truncated or damaged at frame {number + 1}; convert it to a video") from error
        declared_ms = float(image.info.get("duration") or 0.0)
        duration = (declared_ms if declared_ms >= SHORTEST_MS else DEFAULT_MS) / 1000
        yield AnimationFrame(rgb, seconds, duration)
        seconds += duration


def _num_frames(image: Image.Image) -> int:
    """Return the number of frames; 1 for formats that are not animated, 0 if counting fails."""
    try:
        return int(getattr(image, "n_frames", 1)) if image.format in ANIMATED_FORMATS else 1
    except Exception:  # plugins raise errors of many types for damaged files
        return 0
