"""Folders of results, named as in the originals: `runs/segment/predict`, then `predict2`, `predict3`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from streamseg.errors import DataError, reason_of

__all__ = ["new_run_folder"]

PROJECT = "runs/segment"


def new_run_folder(mode: str, project: str | None = None, name: str | None = None, *, exist_ok: bool = False) -> Path:
    """Create and return the folder of one run.

    Args:
        mode: default name of the folder, such as `predict`.
        project: folder of runs; None: `runs/segment`.
        name: name of the folder; None: the mode.
        exist_ok: use the folder if it exists, instead of the first free name with a number.

    Raises:
        DataError: the folder cannot be created.
    """
    folder = Path(project or PROJECT) / (name or mode)
    try:
        if exist_ok:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            free = folder if number == 1 else folder.with_name(f"{folder.name}{number}")
            try:
                free.mkdir()
            except FileExistsError:
                continue
            return free
    except OSError as error:
        raise DataError(
            f"cannot create the folder {folder}: {reason_of(error)}; choose another project or name"
        ) from error
    raise AssertionError("there is always a free number")
