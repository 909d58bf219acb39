"""Labels of YOLO data sets: a text file for each image, with one object per line.

    <…>/images/train/a.jpg    the image
    <…>/labels/train/a.txt    class x1 y1 x2 y2 x3 y3 …    polygon of at least 3 points
                              class cx cy w h              box by its centre and size

Coordinates are fractions of the upright image's width and height (see `datasets.pixels`). The folder of the labels is
that of the image with its last `images` replaced by `labels`; without such a folder, labels are beside the images. An
image without a label file, or with an empty one, has no objects. A box counts as a mask that fills it.

Source of the format: https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from streamseg.datasets.entries import Annotation, LabelledImage
from streamseg.datasets.problems import Problem, Problems
from streamseg.datasets.yolo_yaml import Split, YoloDataSet, read_yolo_yaml
from streamseg.errors import DataError, SourceError, reason_of
from streamseg.imaging import image_sizes

__all__ = ["label_path", "read_yolo_images"]

logger = logging.getLogger(__name__)

BOX_LENGTH = 5
POLYGON_LENGTH = 7
"""Minimum number of values in a line."""
MAX_FRACTION = 1.5
"""Larger coordinates are no fractions. Smaller ones outside 0..1 are checked in pixels, like those of COCO files."""


def read_yolo_images(
    file: Path, split: Split, problems: Problems | None = None, *, limit: int | None = None
) -> list[LabelledImage]:
    """Read the entries of a split, at least one. Pixels and masks are not checked.

    Args:
        file: the `data.yaml`.
        split: name of the split.
        problems: collects the images and lines that are skipped because they are invalid; None refuses them.
        limit: maximum number of images, taken from the start; None for all.

    Raises:
        DataError: the description is broken, its files are missing, or no image is readable; or an image or line is
            invalid and `problems` is None.
    """
    data_set = read_yolo_yaml(file)
    found = Problems() if problems is None else problems
    paths = data_set.image_files(split, found)[:limit]
    listed = [_entry(path, data_set, found) for path in paths]
    if problems is None:
        found.refuse()
    entries = [entry for entry in listed if entry is not None]
    if not entries:
        raise DataError(f"{file} lists no readable image for {split}; for example, {next(iter(found)).message}")
    if not any(entry.annotations for entry in entries) and not any(label_path(path).exists() for path in paths):
        logger.warning(
            "%s: none of the %d images for %s has a label file; that of the first would be %s",
            *(file, len(paths), split, label_path(paths[0])),
        )
    return entries


def label_path(image: Path) -> Path:
    """Return the path of an image's label file, whether or not it exists."""
    parts = list(image.parent.parts)
    for position in range(len(parts) - 1, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts) / f"{image.stem}.txt"


def _entry(path: Path, data_set: YoloDataSet, problems: Problems) -> LabelledImage | None:
    """Return the entry of an image; None if the image or its label file is unreadable."""
    file = label_path(path)
    try:
        size, _ = image_sizes(path)
    except SourceError as error:
        problems.add(Problem("image", path, str(error)))
        return None
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        problems.add(Problem("image", file, f"cannot read {file}, the labels of {path}: {reason_of(error)}"))
        return None
    except UnicodeDecodeError as error:
        problems.add(Problem("image", file, f"{file}, the labels of {path}, is not a text in UTF-8: {error.reason}"))
        return None
    annotations = _annotations(text, file, size, data_set.names, problems)
    return LabelledImage(path, size, None, annotations, list_file=data_set.file, id=path.name)


def _annotations(
    text: str, file: Path, size: tuple[int, int], names: Mapping[int, str] | None, problems: Problems
) -> tuple[Annotation, ...]:
    """Return the valid lines of a label file; `problems` collects the others."""
    annotations: dict[tuple[str, ...], Annotation] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        values = tuple(line.split())
        if not values:
            continue
        name = f"{file}, line {number}"
        try:
            if values in annotations:
                raise DataError(f"{name}: repeats an earlier line; remove it")
            ring, label = _ring(values, size, name), _label(values[0], names, name)
        except DataError as error:
            problems.add(Problem("annotation", file, str(error), str(number)))
            continue
        annotations[values] = Annotation(
            name=name,
            segmentation=[ring],
            label=label,
            is_part=False,
            is_crowd=False,
            area=None,
            box=None,
            id=str(number),
        )
    return tuple(annotations.values())


def _ring(values: tuple[str, ...], size: tuple[int, int], name: str) -> list[float]:
    """Return a line's outline [x, y, x, y, …] in pixels of an image of `size` (H, W)."""
    if len(values) != BOX_LENGTH and (len(values) < POLYGON_LENGTH or len(values) % 2 == 0):
        raise DataError(
            f"{name}: must be a class and a polygon of at least 3 points (class x1 y1 x2 y2 x3 y3 …), or a box (class"
            f" cx cy w h), got {len(values)} values"
        )
    try:
        fractions = [float(value) for value in values[1:]]
    except ValueError as error:
        raise DataError(f"{name}: coordinates must be numbers, got {str(error)[-60:]}") from error
    wrong = [value for value in fractions if not abs(value) <= MAX_FRACTION]
    if wrong:
        raise DataError(f"{name}: coordinates must be fractions of the image's sides, 0 to 1, got {wrong[0]:g}")
    height, width = size
    if len(values) == BOX_LENGTH:
        x, y, w, h = fractions
        if w <= 0 or h <= 0:
            raise DataError(f"{name}: the width and height of a box must be above 0, got {w:g} and {h:g}")
        left, right, top, bottom = x - w / 2, x + w / 2, y - h / 2, y + h / 2
        fractions = [left, top, right, top, right, bottom, left, bottom]
    return [value * (height if position % 2 else width) for position, value in enumerate(fractions)]


def _label(text: str, names: Mapping[int, str] | None, name: str) -> str:
    """Return the name of a class number, which some programs write as a float."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value >= 0 and value.is_integer()):
        raise DataError(f"{name}: the class must be a whole number from 0, got {text[:60]!r}")
    if names is None:
        return text
    if int(value) not in names:
        raise DataError(f"{name}: class {int(value)} is not in names, which has {min(names)} to {max(names)}")
    return names[int(value)]
