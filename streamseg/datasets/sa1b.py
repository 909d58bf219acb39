"""Training samples from SA-1B-format folders.

    <folder>/[…/]sa_1.jpg
    <folder>/[…/]sa_1.json      the image's file_name and size, and its masks

A folder may contain millions of images. Only their names are kept; a JSON file is read when it is checked, and again
when its image is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.datasets.check import none_usable, usable_entry
from streamseg.datasets.coco import check_image_entry, read_annotation, read_json
from streamseg.datasets.entries import Annotation, LabelledImage
from streamseg.datasets.problems import Problem, Problems
from streamseg.datasets.samples import CACHE_PX, MAX_SIDE_PX, Sample, SampleCache, read_sample
from streamseg.datasets.subset import Subset
from streamseg.datasets.walk import folders_below
from streamseg.errors import DataError, reason_of

__all__ = ["Sa1bFolder", "contains_sa1b"]


class Sa1bFolder:
    """The images of a folder and of all its subfolders; every mask is an object.

    Args:
        path: the folder.
        subset: subset of the images to use; None uses all.
        min_predicted_iou: omit masks whose `predicted_iou` is lower; 0 keeps all, including masks without this key.
        min_stability_score: the same for `stability_score`.
        background_weight: see `Sample`.
        max_side: images are shrunk to this long side when read, in pixels.
        cache_px: decoded pixels to cache.
        problems: read all JSON files now, check images and masks, skip the unusable ones, and collect them here. None
            refuses a broken file when it is read.
        on_image: called with the number of checked images and their total.

    Raises:
        DataError: the folder is missing or unreadable, or contains no sa_*.json, or no usable image.
    """

    def __init__(
        self,
        path: Path,
        *,
        subset: Subset | None = None,
        min_predicted_iou: float = 0.0,
        min_stability_score: float = 0.0,
        background_weight: float = 1.0,
        max_side: int = MAX_SIDE_PX,
        cache_px: int = CACHE_PX,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
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
        if subset is not None:
            self._names = self._names[subset.select(range(len(self._names)), path)]
        self._flawed: frozenset[int] = frozenset()
        if problems is not None:
            self._check(problems, on_image)

    def __len__(self) -> int:
        return len(self._names)

    def entry(self, index: int) -> LabelledImage:
        """Read the JSON file of image `index` (0 <= index < len), in the order of the names.

        Raises:
            DataError: the file is unreadable, broken or not in SA-1B format.
        """
        if index not in self._flawed:
            return _read_entry(self._file(index), self._thresholds)
        entry = _usable(self._file(index), self._thresholds, Problems())
        if entry is None:
            raise DataError(f"{self._file(index)} has changed since it was checked")
        return entry

    def sample(self, index: int) -> Sample:
        """Read image `index` (0 <= index < len) with its objects.

        Raises:
            DataError: the image is missing or unreadable, or an annotation contradicts it.
        """
        return self._cache.get(index, self._read)

    def _read(self, index: int) -> Sample:
        return read_sample(self.entry(index), max_side=self._max_side, background_weight=self.background_weight)

    def _file(self, index: int) -> Path:
        return self.path / os.fsdecode(bytes(self._names[index]))

    def _check(self, problems: Problems, on_image: Callable[[int, int], None]) -> None:
        """Remove the unusable images, and remember those with unusable annotations."""
        usable: list[int] = []
        flawed: list[int] = []
        for index in range(len(self)):
            found = Problems()
            if _usable(self._file(index), self._thresholds, found) is not None:
                if len(found):
                    flawed.append(len(usable))
                usable.append(index)
            for problem in found:
                problems.add(problem)
            on_image(index + 1, len(self))
        if not usable:
            raise none_usable(self.path, problems)
        self._names, self._flawed = self._names[usable], frozenset(flawed)


def contains_sa1b(path: Path) -> bool:
    """Return whether the folder or a subfolder contains a sa_*.json; stop at the first.

    Raises:
        DataError: the folder is missing or unreadable.
    """
    return next(_names_below(path), None) is not None


def _names_below(path: Path) -> Iterator[str]:
    for folder, names in folders_below(path):
        inner = os.path.relpath(folder, path)
        chosen = (name for name in names if name.startswith("sa_") and name.endswith(".json"))
        yield from (os.path.normpath(os.path.join(inner, name)) for name in chosen)


def _usable(file: Path, thresholds: dict[str, float], problems: Problems) -> LabelledImage | None:
    """Return an entry with its usable annotations; None if the file or its image is unusable."""
    try:
        return usable_entry(_read_entry(file, thresholds, problems), problems)
    except DataError as error:
        problems.add(Problem("image", file, str(error)))
        return None


def _read_entry(file: Path, thresholds: dict[str, float], problems: Problems | None = None) -> LabelledImage:
    """Read an entry; `problems` collects the annotations that are skipped, None refuses them."""
    try:
        content = read_json(file)
        file_name, size = check_image_entry(content["image"], f"{file}: the image")
        annotations = list(_annotations(content["annotations"], file, thresholds, problems))
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason_of(error)}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not in SA-1B format: {type(error).__name__} {error}") from error
    return LabelledImage(file.parent / file_name, size, None, tuple(annotations), list_file=file)


def _annotations(
    listed: list[Any], file: Path, thresholds: dict[str, float], problems: Problems | None
) -> Iterator[Annotation]:
    """Yield the annotations of sufficient quality."""
    for entry in listed:
        try:
            if all(_quality(entry, key, file) >= least for key, least in thresholds.items() if least > 0):
                yield read_annotation(entry, file, {})
        except (DataError, AttributeError, KeyError, TypeError) as error:
            if problems is None:
                raise
            own_id = str(entry.get("id")) if isinstance(entry, dict) else None
            reason = "" if isinstance(error, DataError) else f"annotation {own_id} in {file}: {type(error).__name__} "
            problems.add(Problem("annotation", file, f"{reason}{error}", own_id))


def _quality(entry: dict[str, Any], key: str, file: Path) -> float:
    value = entry[key]
    if not isinstance(value, int | float):
        raise DataError(f"annotation {entry.get('id')} in {file}: {key} must be a number, got {str(value)[:60]!r}")
    return value
