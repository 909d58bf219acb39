"""Training samples from SA-1B-format folders.

    <folder>/[…/]sa_1.jpg
    <folder>/[…/]sa_1.json      the image's file_name and size, and its masks

A folder may contain millions of images. Only their names are listed up front; a JSON file is read when its image is
drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.datasets.coco import LabelledImage, check_image_entry, read_annotation
from streamseg.datasets.samples import CACHE_PX, MAX_SIDE_PX, Sample, SampleCache, read_sample
from streamseg.errors import DataError

__all__ = ["Sa1bFolder", "contains_sa1b"]


class Sa1bFolder:
    """The images of a folder and of all its subfolders; every mask is an object.

    Args:
        path: the folder.
        min_predicted_iou: omit masks whose `predicted_iou` is lower; 0 keeps all, including masks without this key.
        min_stability_score: the same for `stability_score`.
        background_weight: see `Sample`.
        max_side: images are shrunk to this long side when read, in pixels.
        cache_px: decoded pixels to cache.

    Raises:
        DataError: the folder is missing or unreadable, or contains no sa_*.json.
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
        # One array of bytes takes a tenth of the memory of as many strings, and worker processes share it.
        self._names = np.array(sorted(map(os.fsencode, _names_below(path))), dtype=np.bytes_)
        if not len(self._names):
            raise DataError(f"{path} contains no sa_*.json; an SA-1B-format folder has one beside each image")

    def __len__(self) -> int:
        return len(self._names)

    def entry(self, index: int) -> LabelledImage:
        """Read the JSON file of image `index` (0 <= index < len), in the order of the names.

        Raises:
            DataError: the file is unreadable, broken or not in SA-1B format.
        """
        return _read_entry(self.path / os.fsdecode(bytes(self._names[index])), self._thresholds)

    def sample(self, index: int) -> Sample:
        """Read image `index` (0 <= index < len) with its objects.

        Raises:
            DataError: the image is missing or unreadable, or an annotation contradicts it.
        """
        return self._cache.get(index, self._read)

    def _read(self, index: int) -> Sample:
        return read_sample(self.entry(index), max_side=self._max_side, background_weight=self.background_weight)


def contains_sa1b(path: Path) -> bool:
    """Return whether the folder or a subfolder contains a sa_*.json; stop at the first.

    Raises:
        DataError: the folder is missing or unreadable.
    """
    return next(_names_below(path), None) is not None


def _names_below(path: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise DataError(f"cannot list {error.filename}: {error.strerror}") from error

    for folder, _, files in os.walk(path, onerror=fail, followlinks=True):
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
