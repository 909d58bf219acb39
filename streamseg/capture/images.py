"""Pictures on disk as a source of frames."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.quiet import quiet_opencv
from streamseg.config import IMAGE_SUFFIXES, ImagesSource
from streamseg.errors import SourceError
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["ImageFiles", "find_image_files", "load_image", "natural_key"]


def natural_key(path: Path) -> tuple[tuple[tuple[tuple[int, str], ...], ...], str]:
    """Sorts `frame2` before `frame10`, folder by folder, small and large letters alike."""
    names = (*path.parent.parts, path.stem)
    runs = (re.split(r"(\d+)", name.casefold()) for name in names)
    key = tuple(tuple((int(run), "") if run.isdecimal() else (-1, run) for run in row if run) for row in runs)
    return key, str(path)


def find_image_files(text: str) -> tuple[Path, ...]:
    """The pictures that a file name, a folder or a glob pattern (`**` for folders) stands for, in natural order.

    Folders and patterns give the files whose suffix is one of `IMAGE_SUFFIXES`; a file is taken at its word.

    Raises:
        SourceError: there is none.
    """
    path = Path(text)
    if path.is_file():
        return (path,)
    if path.is_dir():
        found = list(path.iterdir())
    elif any(sign in text for sign in "*?["):
        found = [Path(name) for name in glob.glob(text, recursive=True)]
    else:
        raise SourceError(f"{text}: there is no such file or folder")
    pictures = sorted((one for one in found if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file()), key=natural_key)
    if not pictures:
        raise SourceError(f"{text}: no pictures there; the suffix must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    return tuple(pictures)


def load_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture as uint8 (H, W, 3) RGB: turned as its EXIF data says, grey and 16 bits converted, alpha left out.

    Raises:
        SourceError: it cannot be read or is no picture.
    """
    try:
        coded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    with quiet_opencv():
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB) if coded.size else None
    if picture is None:
        raise SourceError(f"{path} is not a picture that can be read; convert it to PNG or JPEG, or take it out")
    return np.asarray(picture, np.uint8)


class ImageFiles:
    """Delivers pictures in natural order, each once; `Frame.index` counts them as `paths` does."""

    def __init__(self, config: ImagesSource) -> None:
        """Find the pictures.

        Raises:
            SourceError: there are none.
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
        """Yield the pictures, at `fps` where one is set.

        Raises:
            SourceError: a picture cannot be read; the message names it.
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
        """End `frames()`, at once while it waits."""
        self._stopped.set()
