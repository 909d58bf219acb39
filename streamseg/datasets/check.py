"""A pass over a whole data set before it is used: every image and annotation, without decoding pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from streamseg.datasets.coco import read_images
from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.masks import check_annotation
from streamseg.datasets.pixels import check_image, read_image
from streamseg.datasets.problems import Problem, Problems
from streamseg.datasets.subset import ImageList
from streamseg.datasets.yolo import read_yolo_images
from streamseg.datasets.yolo_yaml import Split, find_yolo_yaml
from streamseg.errors import DataError
from streamseg.structures.arrays import ImageArray

__all__ = ["none_usable", "read_or_skip", "usable_entries", "usable_entry", "usable_images"]


def usable_images(
    folder: Path | ImageList, problems: Problems | None = None, *, limit: int | None = None, split: Split = "val"
) -> list[LabelledImage]:
    """Read and check a data set that is evaluated.

    Args:
        folder: a COCO-format folder, with `instances.json` and `images/`; or a YOLO data set, as its `data.yaml` or the
            folder that contains it; or images that are already checked.
        problems: collects what is skipped; None refuses a folder with any problem, and names all.
        limit: maximum number of images, taken from the start; None for all.
        split: split of a YOLO data set; a COCO-format folder has none.

    Returns:
        The usable images by ascending id (COCO) or in the order of the description (YOLO), at least one, each with its
        usable annotations.

    Raises:
        DataError: the folder is in neither format, or none of its images is usable.
    """
    if isinstance(folder, ImageList):
        return list(folder.entries[:limit])
    found = Problems() if problems is None else problems
    yolo = None if (folder / "instances.json").exists() else find_yolo_yaml(folder)
    listed = read_images(folder, found) if yolo is None else read_yolo_images(yolo, split, found, limit=limit)
    entries = usable_entries(listed[:limit], found)
    if problems is None:
        found.refuse()
    if not entries:
        raise none_usable(folder, found)
    return entries


def usable_entries(
    entries: Sequence[LabelledImage],
    problems: Problems,
    *,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> list[LabelledImage]:
    """Return the usable ones of these images, each with its usable annotations; there may be none."""
    usable = []
    for position, entry in enumerate(entries):
        checked = usable_entry(entry, problems)
        if checked is not None:
            usable.append(checked)
        on_image(position + 1, len(entries))
    return usable


def usable_entry(entry: LabelledImage, problems: Problems) -> LabelledImage | None:
    """Return an image with its usable annotations, or None if the image itself is missing or of another size."""
    try:
        check_image(entry)
    except DataError as error:
        problems.add(Problem("image", entry.path, str(error), _text(entry.id)))
        return None
    annotations = tuple(one for one in entry.annotations if check_annotation(one, entry, problems))
    return entry if len(annotations) == len(entry.annotations) else replace(entry, annotations=annotations)


def read_or_skip(entry: LabelledImage, problems: Problems | None) -> ImageArray | None:
    """Decode an image; if it is damaged, return None and add it to `problems`.

    Raises:
        DataError: it is damaged, and `problems` is None.
    """
    try:
        return read_image(entry)
    except DataError as error:
        if problems is None:
            raise
        problems.add(Problem("image", entry.path, str(error), _text(entry.id)))
        return None


def none_usable(folder: Path, problems: Problems) -> DataError:
    """Return the error of a folder whose images all have problems, of which there is at least one."""
    return DataError(f"none of the images of {folder} is usable; for example, {next(iter(problems)).message}")


def _text(image_id: int | str | None) -> str | None:
    return None if image_id is None else str(image_id)
