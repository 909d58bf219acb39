"""Everything that scripts pass as a source, as named BGR images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from streamseg.capture import open_source
from streamseg.capture.content import fit_to_content
from streamseg.capture.images import ImageFiles, find_image_files
from streamseg.config import Config, SceneSource, StreamSource, WebcamSource, parse_source
from streamseg.errors import DataError
from streamseg.imaging import load_image, rgb_from_pillow
from streamseg.structures.arrays import ImageArray

__all__ = ["SourceImage", "SourceLike", "is_endless", "source_images"]


SourceLike = str | Path | int | npt.NDArray[np.uint8] | Image.Image | Sequence[Any]
"""Path (image, folder, glob pattern, video), address, webcam number, `scene`, array (H, W, 3) BGR, PIL image, or a
list of paths, arrays and PIL images."""


class SourceImage(NamedTuple):
    """One image of a source."""

    image: npt.NDArray[np.uint8]
    """uint8 (H, W, 3) BGR."""
    path: str
    """File or address of the image; arrays are named image0.jpg, image1.jpg …"""
    time_seconds: float
    """Time since the start of the video; separate images are 1/30 s apart."""
    frame: int | None = None
    """Number of the frame, from 0, in its video; None for a separate image."""


def is_endless(source: SourceLike) -> bool:
    """Return whether a source delivers images without end: cameras, network streams, the rendered scene."""
    if not isinstance(source, str | Path | int):
        return False
    config = parse_source(str(source))
    return isinstance(config, SceneSource | WebcamSource) or (isinstance(config, StreamSource) and "://" in config.url)


def source_images(source: SourceLike, *, vid_stride: int = 1) -> Iterator[SourceImage]:
    """Yield the images of a source in order; each is read on demand.

    Args:
        source: see `SourceLike`. Arrays are BGR, as OpenCV reads them, and are used as they are; PIL images
            are converted like files (EXIF orientation, alpha, 16 bits). Unreadable images of a folder or a pattern are
            skipped, with a warning that names them.
        vid_stride: yield every n-th frame of a video, 1 or more.

    Raises:
        DataError: the source is not of a supported type, or a list is empty.
        SourceError: a file or a camera cannot be read.
    """
    if isinstance(source, str | Path | int):
        yield from _from_address(str(source), vid_stride)
        return
    items = source if isinstance(source, list | tuple) else [source]
    if not items:
        raise DataError("the list of images is empty; give at least one path, array or PIL image")
    for position, item in enumerate(items):
        if isinstance(item, str | Path):
            for path in find_image_files(str(item)):
                yield SourceImage(_bgr(load_image(path)), str(item), position / 30)
        elif isinstance(item, np.ndarray):
            yield SourceImage(_checked(item), f"image{position}.jpg", position / 30)
        elif isinstance(item, Image.Image):
            name = getattr(item, "filename", "") or f"image{position}.jpg"
            yield SourceImage(_bgr(rgb_from_pillow(item, str(name))), name, position / 30)
        else:
            raise DataError(
                f"an image must be a path, an array uint8 (H, W, 3) BGR or a PIL image, got {type(item).__name__}"
            )


def _from_address(text: str, vid_stride: int) -> Iterator[SourceImage]:
    config = fit_to_content(parse_source(text))
    if isinstance(config, StreamSource):
        mode = "auto" if "://" in config.url else "every_frame"
        config = config.model_copy(update={"vid_stride": vid_stride, "mode": mode})
    opened = open_source(Config(sources=(config,)).named_sources()[0])
    name = text if "://" in text or not Path(text).exists() else os.path.abspath(text)
    try:
        for number, frame in enumerate(opened.frames()):
            if isinstance(opened, ImageFiles):
                yield SourceImage(_bgr(frame.image), os.path.abspath(opened.paths[frame.index]), frame.index / 30)
                continue
            seconds = frame.pts_seconds if frame.pts_seconds is not None else frame.received_ns / 1e9
            yield SourceImage(_bgr(frame.image), name, seconds, number)
    finally:
        opened.stop()


def _bgr(rgb: ImageArray) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _checked(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(f"an array must be uint8 (H, W, 3) BGR, got {array.dtype} {array.shape}")
    return array
