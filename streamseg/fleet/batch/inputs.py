"""The image and video files below a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamseg.config import IMAGE_SUFFIXES
from streamseg.errors import DataError

__all__ = ["BatchInput", "find_inputs"]

VIDEO_SUFFIXES: Final = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"),
        *(".wmv", ".flv", ".3gp", ".ogv", ".h264", ".h265", ".hevc"),
    }
)
OTHER_IMAGE_SUFFIXES: Final = frozenset({".gif", ".heic", ".heif", ".avif", ".jfif"})
SUFFIXES: Final = IMAGE_SUFFIXES | OTHER_IMAGE_SUFFIXES | VIDEO_SUFFIXES


@dataclass(frozen=True)
class BatchInput:
    """One file of a batch."""

    name: str
    """Path below the folder, with `/`."""
    size: int
    """Size in bytes."""
    mtime_ns: int
    """Time of the last change."""

    def as_json(self) -> Mapping[str, str | int]:
        """Return plain JSON values."""
        return {"input": self.name, "size": self.size, "mtime_ns": self.mtime_ns}


def find_inputs(folder: Path, out: Path) -> list[BatchInput]:
    """Return the image and video files below a folder by suffix, sorted by name.

    Hidden files and folders are left out, and so is the output folder. Links to folders are not followed.

    Raises:
        DataError: the folder does not exist, or holds no such file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give a folder of images and videos")
    found = []
    excluded = out.resolve()
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith(".") and (Path(parent) / name).resolve() != excluded
        ]
        for name in files:
            path = Path(parent) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            stat = path.stat()
            found.append(BatchInput(path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    if not found:
        raise DataError(f"{folder} holds no image and no video; known suffixes are {', '.join(sorted(SUFFIXES))}")
    return sorted(found, key=lambda one: one.name)
