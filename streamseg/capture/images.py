"""Image files as a source of frames."""

from __future__ import annotations

import glob
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.config import IMAGE_SUFFIXES, ImagesSource
from streamseg.errors import SourceError, counted
from streamseg.imaging import file_format, load_image
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["UNREADABLE", "ImageFiles", "find_image_files", "natural_key"]

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"
"""Reason for which an image of a folder or pattern is dropped."""


def natural_key(path: Path) -> tuple[tuple[tuple[tuple[int, str], ...], ...], str]:
    """Return a sort key that puts `frame2` before `frame10`, folder by folder, ignoring case."""
    names = (*path.parent.parts, path.stem)
    runs = (re.split(r"(\d+)", name.casefold()) for name in names)
    key = tuple(tuple((int(run), "") if run.isdecimal() else (-1, run) for run in row if run) for row in runs)
    return key, str(path)


def find_image_files(text: str) -> tuple[Path, ...]:
    """Return the image files of a file name, a folder or a glob pattern (`**` for folders), in natural order.

    Folders and patterns yield the files whose content or suffix (`IMAGE_SUFFIXES`) is that of an image; a single file
    is accepted as it is, and a name with the characters of patterns is first of all a file name.

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
    files = sorted((one for one in found if _is_image_file(one)), key=natural_key)
    if not files:
        raise SourceError(
            f"{text}: no images found, neither by content nor by suffix; give a folder or pattern of images"
        )
    return tuple(files)


def _is_image_file(path: Path) -> bool:
    """Return whether the suffix or the content is that of an image, readable or not."""
    if not path.is_file():
        return False
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        found = file_format(path)
    except OSError:
        return False
    return found is not None and found.kind in ("image", "unreadable image")


class ImageFiles:
    """Source that delivers image files in natural order, each once; `Frame.index` is the position in `paths`.

    Of a folder or a pattern, an unreadable image is skipped, reported in the log and counted as "unreadable".
    """

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
        self.skipped: list[SourceError] = []
        """The errors of the images that were skipped, in order; each names its file."""
        self.is_batch = self.paths != (Path(config.path),)
        """True for a folder or a pattern, even with one image."""
        self._path = config.path
        self._fps = config.fps
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield the images, at `fps` if it is set.

        Raises:
            SourceError: no image can be read; the message names the first one.
        """
        started_ns = time.monotonic_ns()
        for index, path in enumerate(self.paths):
            if self._fps is not None:
                due_ns = started_ns + round(index / self._fps * NS_PER_SECOND)
                self._stopped.wait(max(due_ns - time.monotonic_ns(), 0) / NS_PER_SECOND)
            if self._stopped.is_set():
                return
            try:
                image = load_image(path)
            except SourceError as error:
                self._skip(error)
                continue
            yield Frame(
                image=image,
                source_id=self.source_id,
                index=index,
                pts_seconds=None if self._fps is None else index / self._fps,
                captured_ns=time.time_ns(),
                clock="arrival",
                received_ns=time.monotonic_ns(),
            )

    def _skip(self, error: SourceError) -> None:
        """Count an unreadable image; raise if there is no readable one."""
        if not self.is_batch:
            raise error
        self.skipped.append(error)
        self.drops.count("capture", UNREADABLE)
        if len(self.skipped) == len(self.paths):
            raise SourceError(
                f"{self._path}: none of {counted(len(self.paths), 'image')} can be read; {self.skipped[0]}"
            ) from error
        logger.warning("skipped: %s", error)

    def stop(self) -> None:
        """End `frames()`, immediately if it is waiting."""
        self._stopped.set()
