"""Folders and their subfolders, which may be linked in circles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from streamseg.errors import DataError, reason_of

__all__ = ["folders_below"]


def folders_below(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and its subfolders, each with the names of its files, both by name.

    Links are followed; a folder that several paths lead to is listed once.

    Raises:
        DataError: a folder is missing or cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"cannot list {error.filename}: {reason_of(error)}") from error

    visited: set[str] = set()
    for inner, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        if (real := os.path.realpath(inner)) in visited:  # links may form circles
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        yield inner, sorted(files)
