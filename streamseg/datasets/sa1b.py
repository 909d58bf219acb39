"""Labelled pictures of SA-1B-format folders for training.

    <folder>/[…/]sa_1.jpg
    <folder>/[…/]sa_1.json      the picture's file_name and size, and its masks

Folders hold millions of pictures: at the start only names are listed, and a JSON is read when its picture is drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.datasets.coco import LabelledImage, check_image_entry, read_annotation
from streamseg.datasets.folders import CACHE_PX, MAX_SIDE_PX, Sample, SampleCache, read_sample
from streamseg.errors import DataError

__all__ = ["Sa1bFolder", "holds_sa1b"]


class Sa1bFolder:
    """The pictures of a folder and of all folders in it; every mask is an object.

    Args:
        path: the folder.
        min_predicted_iou: masks whose `predicted_iou` is lower are left out; 0 keeps all, whether they say it or not.
        min_stability_score: the same for `stability_score`.
        background_weight: see `Sample`.
        max_side: pictures are shrunk to this long side when read.
        cache_px: pixels kept decoded.

    Raises:
        DataError: the folder is missing, unreadable, or holds no sa_*.json.
    """

    def __init__(
        self,
        path: Path,
        *,
        min_predicted_iou: float = 0.0,
        min_stability_score: float = 0.0,
        background_weight: float = 1.0,
        max_side: int = MAX_SIDE_PX,
        cache_px: int = CACHE_PX,
    ) -> None:
        self.path = path
        self.background_weight = background_weight
        self._thresholds = {"predicted_iou": min_predicted_iou, "stability_score": min_stability_score}
        self._max_side = max_side
        self._cache = SampleCache(cache_px)
        # As bytes of one array: a tenth of the memory of as many strings, and worker processes share it.
        self._names = np.array(sorted(map(os.fsencode, _names_below(path))), dtype=np.bytes_)
        if not len(self._names):
            raise DataError(f"{path} holds no sa_*.json; an SA-1B-format folder has one beside each picture")

    def __len__(self) -> int:
        return len(self._names)

    def picture(self, index: int) -> LabelledImage:
        """Read the JSON of picture `index` (0 <= index < len), in the order of the names.

        Raises:
            DataError: it is unreadable, broken or not in SA-1B format.
        """
        return _read_entry(self.path / os.fsdecode(bytes(self._names[index])), self._thresholds)

    def sample(self, index: int) -> Sample:
        """Read picture `index` (0 <= index < len) with its objects.

        Raises:
            DataError: the picture is missing or unreadable, or an annotation contradicts it.
        """
        return self._cache.get(index, self._read)

    def _read(self, index: int) -> Sample:
        return read_sample(self.picture(index), max_side=self._max_side, background_weight=self.background_weight)


def holds_sa1b(path: Path) -> bool:
    """Whether there is a sa_*.json in the folder, or in a folder in it; looks no further than the first.

    Raises:
        DataError: the folder is missing or unreadable.
    """
    return next(_names_below(path), None) is not None


def _names_below(path: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise DataError(f"cannot list {error.filename}: {error.strerror}") from error

    for folder, _, files in os.walk(path, onerror=refuse, followlinks=True):
        inner = os.path.relpath(folder, path)
        chosen = (name for name in files if name.startswith("sa_") and name.endswith(".json"))
        yield from (os.path.normpath(os.path.join(inner, name)) for name in chosen)


def _read_entry(file: Path, thresholds: dict[str, float]) -> LabelledImage:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        file_name, size = check_image_entry(content["image"], f"{file}: the image")
        annotations = [
            read_annotation(entry, file, {})
            for entry in content["annotations"]
            if all(_quality(entry, key, file) >= least for key, least in thresholds.items() if least > 0)
        ]
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not in SA-1B format: {type(error).__name__} {error}") from error
    return LabelledImage(file.parent / file_name, size, None, tuple(annotations), listed_in=file.name)


def _quality(entry: dict[str, Any], key: str, file: Path) -> float:
    value = entry[key]
    if not isinstance(value, int | float):
        raise DataError(f"annotation {entry.get('id')} in {file}: {key} must be a number, got {str(value)[:60]!r}")
    return value
