"""COCO-format folders: images and the masks of their labelled objects.

    <folder>/instances.json     images, annotations, categories
    <folder>/images/            the files listed there

Extensions to COCO: an image may have a `source`, and be `partly_labelled` (true: objects without a label are not
background); an annotation may have a `level` ("part": part of another object) and a `source_category` (its category
before all categories were merged into one).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamseg.datasets.entries import Annotation, LabelledImage
from streamseg.datasets.masks import annotation_mask, are_numbers
from streamseg.datasets.pixels import read_image
from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import DataError, reason_of

__all__ = [
    "Annotation",
    "LabelledImage",
    "annotation_mask",
    "check_image_entry",
    "read_annotation",
    "read_image",
    "read_images",
    "read_json",
]

Id = int | str

FLAGS = {"": False, "0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
"""Values of `iscrowd` in files of labelling programs, as lower-case text."""


def read_images(folder: Path, problems: Problems | None = None) -> list[LabelledImage]:
    """Read the entries of a folder by ascending image id, at least one. Image files and masks are not checked.

    Args:
        folder: a folder with `instances.json`.
        problems: collects the entries that are skipped because they are invalid; None refuses them.

    Raises:
        DataError: the folder or its JSON is missing, broken or not in COCO format, or lists no valid image; or an entry
            is invalid and `problems` is None.
    """
    file = folder / "instances.json"
    found = Problems() if problems is None else problems
    try:
        content = read_json(file)
        images = _images(_list_of(content, "images", file), file, found)
        categories = {one["id"]: str(one.get("name", one["id"])) for one in content.get("categories") or ()}
        annotations = _annotations(_list_of(content, "annotations", file), file, categories, images, found)
        valid = (image_id for image_id, image in images.items() if image is not None)
        ids = sorted(valid, key=lambda image_id: (isinstance(image_id, str), image_id))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder} is not a COCO-format folder: instances.json is missing") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason_of(error)}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} is not in COCO format: {_describe(error)}") from error
    except AttributeError as error:
        raise DataError(f"{file} is not in COCO format: it and its categories must be objects") from error
    if problems is None:
        found.refuse()
    if not ids:
        reason = f"; for example, {next(iter(found)).message}" if len(found) else "; a data set needs at least one"
        raise DataError(f"{file} lists no {'valid ' * bool(images)}image{reason}")
    entries = [(images[image_id], tuple(annotations[image_id])) for image_id in ids]
    return [replace(image, annotations=labels) for image, labels in entries if image is not None]


def read_json(file: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: the file cannot be read.
        DataError: it is not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error


def _list_of(content: Any, key: str, file: Path) -> list[Any]:
    values = content[key]
    if not isinstance(values, list):
        raise DataError(f"{file} is not in COCO format: {key} must be a list, got {str(values)[:60]}")
    return values


def _images(listed: list[Any], file: Path, problems: Problems) -> dict[Id, LabelledImage | None]:
    """Return the images by id, without annotations; None for ids whose images are skipped."""
    groups: dict[Id, list[LabelledImage | None]] = {}
    for image in listed:
        image_id = image.get("id") if isinstance(image, dict) else None
        try:
            image_id = _id_of(image["id"])
            file_name, size = check_image_entry(image, f"{file}: image {image_id}")
            path = file.parent / "images" / file_name
            entry = LabelledImage(
                path,
                size,
                image.get("source"),
                (),
                list_file=file,
                id=image_id,
                is_partly_labelled=image.get("partly_labelled") is True,
            )
        except DataError as error:
            problems.add(Problem("image", file, str(error), str(image_id)))
            entry = None
        except (KeyError, TypeError) as error:
            message = f"{file} is not in COCO format: image {image_id}: {_describe(error)}"
            problems.add(Problem("image", file, message, str(image_id)))
            entry = None
        if isinstance(image_id, int | str):
            groups.setdefault(image_id, []).append(entry)
    return {image_id: _only(image_id, entries, file, problems) for image_id, entries in groups.items()}


def _id_of(value: object) -> Id:
    """Return an image id, a whole number or a text; raise TypeError for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int | str):
        raise TypeError(f"an id must be a whole number or a text, got {str(value)[:60]}")
    return value


def _only(image_id: Id, entries: list[LabelledImage | None], file: Path, problems: Problems) -> LabelledImage | None:
    """Return the image with this id; None if it is invalid, or if several have it.

    Annotations cannot be assigned to one of several images. The same image, listed several times, is used once.
    """
    if len(entries) == 1:
        return entries[0]
    valid = [entry for entry in entries if entry is not None]
    names = ", ".join(entry.path.name for entry in valid[:5]) + (", …" if len(valid) > 5 else "")
    is_repeated = len(valid) == len(entries) and len({(entry.path, entry.size) for entry in valid}) == 1
    num_skipped = len(valid) - is_repeated
    if num_skipped:
        message = f"{file} lists {len(entries)} images with the same id {image_id} ({names}); ids must be unique"
        problems.add(Problem("image", file, message, str(image_id), num_skipped))
    return valid[0] if is_repeated else None


def _annotations(
    listed: list[Any],
    file: Path,
    categories: dict[Any, str],
    images: Mapping[Id, LabelledImage | None],
    problems: Problems,
) -> dict[Id, list[Annotation]]:
    """Return the annotations of each image in the order of the file; those of skipped images are not counted."""
    annotations: dict[Id, list[Annotation]] = {image_id: [] for image_id in images}
    for entry in listed:
        own_id = entry.get("id") if isinstance(entry, dict) else None
        try:
            image_id = _same_id(entry["image_id"], images)
            if image_id is None:
                raise DataError(
                    f"{file}: annotation {own_id} belongs to image {entry['image_id']!r}, which is not listed"
                )
            if images[image_id] is not None:
                annotations[image_id].append(read_annotation(entry, file, categories))
        except DataError as error:
            problems.add(Problem("annotation", file, str(error), str(own_id)))
        except (KeyError, TypeError) as error:
            message = f"{file} is not in COCO format: annotation {own_id}: {_describe(error)}"
            problems.add(Problem("annotation", file, message, str(own_id)))
    return annotations


def _same_id(value: Any, known: Mapping[Any, Any]) -> Any:
    """Return the id that an annotation refers to, a number here and perhaps a text there; None if it is not listed."""
    other = int(value) if isinstance(value, str) and value.isdecimal() else str(value)
    return next((one for one in (value, other) if one in known), None)


def _describe(error: KeyError | TypeError) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def check_image_entry(image: dict[str, Any], name: str) -> tuple[str, tuple[int, int]]:
    """Return the file name and size (H, W) of an image entry; `name` identifies it in error messages.

    Raises:
        DataError: one of them has the wrong type.
        KeyError: one of them is missing.
    """
    file_name, sides = image["file_name"], (image["height"], image["width"])
    if not _is_file_name(file_name) or not all(map(_is_side, sides)):
        got = ", ".join(str(value)[:60] for value in (file_name, sides[1], sides[0]))
        raise DataError(f"{name} needs a file_name, and width and height in whole pixels, got {got}")
    height, width = sides
    return file_name, (int(height), int(width))


def _is_file_name(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _is_side(value: object) -> bool:
    """Return whether a value is a positive whole number, also as a float."""
    if isinstance(value, float):
        return value.is_integer() and value > 0
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def read_annotation(entry: dict[str, Any], file: Path, categories: dict[Any, str]) -> Annotation:
    """Parse one annotation of a file with these categories by id; its mask is not checked.

    Raises:
        DataError: its area, box or iscrowd has the wrong type.
    """
    name = f"annotation {entry.get('id')} in {file}"
    area, box = entry.get("area"), entry.get("bbox")
    if area is not None and not (are_numbers([area]) and area >= 0):
        raise DataError(f"{name}: the area must be a number of pixels of 0 or more, got {area!r}")
    if box is not None and not (isinstance(box, list) and len(box) == 4 and are_numbers(box) and min(box[2:]) >= 0):
        raise DataError(f"{name}: the bbox must be [x, y, width, height] with sides of 0 or more, got {box!r}")
    return Annotation(
        name=name,
        segmentation=entry.get("segmentation"),
        label=str(
            entry.get("source_category") or categories.get(_same_id(entry.get("category_id"), categories), "object")
        ),
        is_part=entry.get("level") == "part",
        is_crowd=_is_crowd(entry.get("iscrowd"), name),
        area=area,
        box=None if box is None else (box[0], box[1], box[2], box[3]),
        id=None if entry.get("id") is None else str(entry["id"]),
    )


def _is_crowd(value: object, name: str) -> bool:
    """Return the flag `iscrowd`: 0 or 1, also as text, Boolean or float; absent means 0."""
    text = "" if value is None else str(value).strip().lower()
    if text not in FLAGS:
        raise DataError(f"{name}: iscrowd must be 0 or 1, got {str(value)[:60]!r}")
    return FLAGS[text]
