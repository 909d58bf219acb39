"""Animated GIF, WebP, PNG and AVIF files as a sequence of frames with times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging.opening import ANIMATED_FORMATS, open_file, open_pillow, require_memory
from streamseg.imaging.pixels import rgb_from_pillow
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
    with open_file(path) as file:
        try:
            return _num_frames(open_pillow(file, path))
        except SourceError:
            return 0


def animation_frames(path: Path) -> Iterator[AnimationFrame]:
    """Yield the frames of an animation, once, each decoded on demand.

    Raises:
        SourceError: the file cannot be read, or is truncated or damaged; the frames before that are intact.
    """
    with open_file(path) as file:
        image = open_pillow(file, path)
        require_memory(image, path)
        seconds = 0.0
        for number in range(max(_num_frames(image), 1)):
            try:
                image.seek(number)
                rgb = rgb_from_pillow(image, str(path))
                declared_ms = float(image.info.get("duration") or 0.0)
            except Exception as error:  # decoders raise errors of many types for damaged frames
                raise SourceError(
                    f"{path} is truncated or damaged at frame {number + 1}; convert it to a video"
                ) from error
            duration = (declared_ms if declared_ms >= SHORTEST_MS else DEFAULT_MS) / 1000
            yield AnimationFrame(rgb, seconds, duration)
            seconds += duration


def _num_frames(image: Image.Image) -> int:
    """Return the number of frames; 1 for formats that are not animated, 0 if counting fails."""
    try:
        return int(getattr(image, "n_frames", 1)) if image.format in ANIMATED_FORMATS else 1
    except Exception:  # plugins raise errors of many types for damaged files
        return 0
