"""COCO-format folders: images and the masks of their labelled objects.

    <folder>/instances.json     images, annotations, categories
    <folder>/images/            the files listed there

Extensions to COCO: an image may have a `source`; an annotation may have a `level` ("part": part of another object) and
a `source_category` (its category before all categories were merged into one).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from streamseg.errors import DataError
from streamseg.rle import CocoRle, coco_to_crop, pack_counts
from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask

__all__ = [
    "Annotation",
    "LabelledImage",
    "annotation_mask",
    "check_image_entry",
    "read_annotation",
    "read_image",
    "read_images",
]


@dataclass(frozen=True, eq=False)
class Annotation:
    """One labelled object in an image."""

    name: str
    """Identifies the annotation in error messages."""
    segmentation: Any
    """Polygons or run lengths as in the file; checked when the mask is built."""
    label: str
    """Category name; "object" if the file has none."""
    is_part: bool
    """Part of another labelled object, such as a shirt on a person."""
    is_crowd: bool
    """Region with many objects that are not labelled one by one."""
    area: float | None
    """Pixels, as stated in the file; None if absent."""
    box: tuple[float, float, float, float] | None
    """(x, y, width, height) in pixels, as stated in the file; None if absent."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One entry of a folder, without decoded pixels or masks."""

    path: Path
    size: tuple[int, int]
    """(H, W) as stated in the file."""
    source: str | None
    annotations: tuple[Annotation, ...]
    """Annotations in the order of the file; may be empty."""
    listed_in: str = "instances.json"
    """Name of the file that lists the image, for error messages."""


def read_images(folder: Path) -> list[LabelledImage]:
    """Read the entries of a folder by ascending image id, at least one.

    Raises:
        DataError: the folder or its JSON is missing, broken or not in COCO format, or lists no image.
    """
    file = folder / "instances.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        images = sorted(content["images"], key=lambda image: image["id"])
        annotations: dict[Any, list[Annotation]] = {image["id"]: [] for image in images}
        categories = {category["id"]: str(category["name"]) for category in content.get("categories", ())}
        for entry in content["annotations"]:
            if entry["image_id"] not in annotations:
                raise DataError(
                    f"{file}: annotation {entry.get('id')} belongs to image {entry['image_id']}, which is not listed"
                )
            annotations[entry["image_id"]].append(read_annotation(entry, file, categories))
        entries = [_labelled_image(image, file, annotations[image["id"]]) for image in images]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder} is not a COCO-format folder: instances.json is missing") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not in COCO format: {type(error).__name__} {error}") from error
    if not entries:
        raise DataError(f"{file} lists no image; a data set needs at least one")
    if len(annotations) < len(entries):
        raise DataError(f"{file} lists {len(entries)} images with {len(annotations)} different ids; ids must be unique")
    return entries


def _labelled_image(image: dict[str, Any], file: Path, annotations: list[Annotation]) -> LabelledImage:
    file_name, size = check_image_entry(image, f"{file}: image {image['id']}")
    return LabelledImage(file.parent / "images" / file_name, size, image.get("source"), tuple(annotations))


def check_image_entry(image: dict[str, Any], name: str) -> tuple[str, tuple[int, int]]:
    """Return the file name and size (H, W) of an image entry; `name` identifies it in error messages.

    Raises:
        DataError: one of them has the wrong type.
        KeyError: one of them is missing.
    """
    file_name, size = image["file_name"], (image["height"], image["width"])
    if not isinstance(file_name, str) or not all(isinstance(side, int) and side > 0 for side in size):
        raise DataError(f"{name} needs a file_name, and width and height in whole pixels")
    return file_name, size


def read_annotation(entry: dict[str, Any], file: Path, categories: dict[Any, str]) -> Annotation:
    """Parse one annotation of a file with these categories by id; its mask is not checked.

    Raises:
        DataError: its area or box has the wrong type.
    """
    name = f"annotation {entry.get('id')} in {file}"
    area, box = entry.get("area"), entry.get("bbox")
    if area is not None and not _are_numbers([area]):
        raise DataError(f"{name}: the area must be a number of pixels, got {area!r}")
    if box is not None and not (isinstance(box, list) and len(box) == 4 and _are_numbers(box)):
        raise DataError(f"{name}: the bbox must be [x, y, width, height], got {box!r}")
    return Annotation(
        name=name,
        segmentation=entry.get("segmentation"),
        label=str(entry.get("source_category") or categories.get(entry.get("category_id"), "object")),
        is_part=entry.get("level") == "part",
        is_crowd=bool(entry.get("iscrowd", 0)),
        area=area,
        box=None if box is None else (box[0], box[1], box[2], box[3]),
    )


def read_image(entry: LabelledImage) -> ImageArray:
    """Decode the image of an entry, (H, W, 3) RGB.

    Raises:
        DataError: the image is missing or unreadable, or its size differs from the listed one.
    """
    loaded = cv2.imread(str(entry.path), cv2.IMREAD_COLOR_RGB)
    if loaded is None:
        raise DataError(f"image {entry.path} is missing or unreadable, though {entry.listed_in} lists it")
    height, width = loaded.shape[:2]
    if (height, width) != entry.size:
        listed = f"{entry.size[1]}x{entry.size[0]}"
        raise DataError(f"image {entry.path} is {width}x{height}, but {entry.listed_in} lists it as {listed}")
    return np.asarray(loaded, dtype=np.uint8)


def annotation_mask(annotation: Annotation, size: tuple[int, int]) -> CropMask:
    """Return the mask of an annotation in its image of `size` (H, W); an empty mask has a crop of (0, 0).

    Raises:
        DataError: neither polygons nor run lengths, or they do not fit the image.
    """
    segmentation, name = annotation.segmentation, annotation.name
    # pycocotools reads out of bounds if run lengths do not fill the image; therefore it only gets polygons.
    if isinstance(segmentation, dict):
        return _mask_of_runs(segmentation, size, name)
    if not isinstance(segmentation, list) or not segmentation or not all(map(_is_ring, segmentation)):
        raise DataError(
            f"{name}: a segmentation must be run lengths, or polygons [x, y, x, y, …] of at least 3 points, got"
            f" {str(segmentation)[:60]}"
        )
    height, width = size
    flat = [value for ring in segmentation for value in ring]
    if min(flat) < -1 or max(flat[0::2]) > width + 1 or max(flat[1::2]) > height + 1:
        raise DataError(f"{name}: the polygon leaves the image of {width}x{height}")
    runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return coco_to_crop(CocoRle(size=[height, width], counts=runs["counts"].decode("ascii")))


def _mask_of_runs(segmentation: dict[str, Any], size: tuple[int, int], name: str) -> CropMask:
    """Return the mask of COCO's run lengths, a list or the compressed string."""
    if segmentation.get("size") != list(size):
        raise DataError(
            f"{name}: the run lengths are for size {segmentation.get('size')}, but the image has size {list(size)}"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, list) and all(isinstance(count, int) and 0 <= count < 2**32 for count in counts):
        counts = pack_counts(np.array(counts, dtype=np.int64)).decode("ascii")
    if not isinstance(counts, str):
        raise DataError(f"{name}: counts must be run lengths in whole pixels or a string, got {str(counts)[:60]}")
    try:
        return coco_to_crop(CocoRle(size=list(size), counts=counts))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _is_ring(ring: object) -> bool:
    """Return whether `ring` is [x, y, x, y, …] of at least three points."""
    return isinstance(ring, list) and len(ring) >= 6 and len(ring) % 2 == 0 and _are_numbers(ring)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)
