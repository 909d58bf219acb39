"""Image files as a source of frames."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.webcam import quiet_opencv
from streamseg.config import IMAGE_SUFFIXES, ImagesSource
from streamseg.errors import SourceError
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["ImageFiles", "find_image_files", "load_image", "natural_key"]


def natural_key(path: Path) -> tuple[tuple[tuple[tuple[int, str], ...], ...], str]:
    """Return a sort key that puts `frame2` before `frame10`, folder by folder, ignoring case."""
    names = (*path.parent.parts, path.stem)
    runs = (re.split(r"(\d+)", name.casefold()) for name in names)
    key = tuple(tuple((int(run), "") if run.isdecimal() else (-1, run) for run in row if run) for row in runs)
    return key, str(path)


def find_image_files(text: str) -> tuple[Path, ...]:
    """Return the image files of a file name, a folder or a glob pattern (`**` for folders), in natural order.

    Folders and patterns yield the files whose suffix is in `IMAGE_SUFFIXES`; a single file is accepted as it is.

    Raises:
        SourceError: no image file was found.
    """
    path = Path(text)
    if path.is_file():
        return (path,)
    if path.is_dir():
        found = list(path.iterdir())
    elif any(sign in text for sign in "*?["):
        found = [Path(name) for name in glob.glob(text, recursive=True)]
    else:
        raise SourceError(f"{text}: no such file or folder")
    files = sorted((one for one in found if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file()), key=natural_key)
    if not files:
        raise SourceError(f"{text}: no images found; the suffix must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    return tuple(files)


def load_image(path: Path) -> ImageArray:
    """Load an image as uint8 (H, W, 3) RGB.

    The EXIF orientation is applied, grey and 16-bit images are converted, and alpha is discarded.

    Raises:
        SourceError: the file cannot be read or is not an image.
    """
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    with quiet_opencv():
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if encoded.size else None
    if image is None:
        raise SourceError(f"{path} is not a readable image; convert it to PNG or JPEG, or remove it")
    return np.asarray(image, np.uint8)


class ImageFiles:
    """Source that delivers image files in natural order, each once; `Frame.index` is the position in `paths`."""

    def __init__(self, config: ImagesSource) -> None:
        """Find the image files.

        Raises:
            SourceError: no image file was found.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = False
        self.drops = DropCounter()
        self.paths = find_image_files(config.path)
        """The files, in the order of the frames."""
        self._fps = config.fps
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield the images, at `fps` if it is set.

        Raises:
            SourceError: an image cannot be read; the message names it.
        """
        started_ns = time.monotonic_ns()
        for index, path in enumerate(self.paths):
            if self._fps is not None:
                due_ns = started_ns + round(index / self._fps * NS_PER_SECOND)
                self._stopped.wait(max(due_ns - time.monotonic_ns(), 0) / NS_PER_SECOND)
            if self._stopped.is_set():
                return
            image = load_image(path)
            yield Frame(
                image=image,
                source_id=self.source_id,
                index=index,
                pts_seconds=None if self._fps is None else index / self._fps,
                captured_ns=time.time_ns(),
                clock="arrival",
                received_ns=time.monotonic_ns(),
            )

    def stop(self) -> None:
        """End `frames()`, immediately if it is waiting."""
        self._stopped.set()
