"""Data sets as scripts name them."""

from __future__ import annotations

import os
from pathlib import Path

from streamseg.datasets.yolo_yaml import find_yolo_yaml, read_yolo_yaml
from streamseg.errors import DataError

__all__ = ["DEFAULT_DATA", "find_data", "has_validation"]

DEFAULT_DATA = "coco8-seg.yaml"
"""Data set of the originals if none is given."""
DATA_VARIABLE = "STREAMSEG_DATA"
FOLDERS = (".", "datasets", "../datasets")
"""Folders in which a data set is searched by its name, relative to the working folder."""


def find_data(data: str | Path) -> Path:
    """Return the path of a data set: a `data.yaml`, a folder that contains one, or a COCO-format folder.

    A path that exists is returned as it is. The originals download a data set that they know by name, such as
    `coco8-seg.yaml`; here it must be in the working folder, in `datasets` there or beside it, or in the folder of the
    environment variable STREAMSEG_DATA: as this file, or as a folder with its name (`coco8-seg`).

    Raises:
        DataError: it does not exist.
    """
    path = Path(data)
    if path.exists():
        return path
    is_name = path.parent == Path()
    folders = [Path(one) for one in (*FOLDERS, os.environ.get(DATA_VARIABLE)) if one and is_name]
    for folder in folders:
        for name in (path.name, path.stem):
            if (folder / name).exists():
                return folder / name
    searched = f" in {', '.join(map(str, folders))}" if folders else ""
    raise DataError(
        f"no data set {data}{searched}; give the path of its data.yaml or of a COCO-format folder (nothing is"
        " downloaded)"
    )


def has_validation(path: Path) -> bool:
    """Return whether a data set has a split `val`; a COCO-format folder has no splits."""
    file = find_yolo_yaml(path)
    return file is not None and "val" in read_yolo_yaml(file).splits
