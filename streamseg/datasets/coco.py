"""COCO-format folders: pictures, and the masks of what is labelled in them.

    <folder>/instances.json     images, annotations, categories
    <folder>/images/            the files that it names

Beyond COCO, an image may have a `source`, and an annotation a `level` ("part" of another object) and a
`source_category` (what it was called before all categories became one).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from streamseg.errors import DataError
from streamseg.rle import CocoRle, coco_to_crop, pack_counts
from streamseg.structures.message import CropMask

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
    """One labelled object of a picture."""

    name: str
    """For messages."""
    segmentation: Any
    """Polygons or run lengths as in the file; looked at when the mask is made."""
    label: str
    """What it is; "object" where the file does not say."""
    is_part: bool
    """A part of another labelled object, such as a shirt on a person."""
    is_crowd: bool
    """A region with many objects that are not labelled one by one."""
    area: float | None
    """In pixels, as the file says; None where it does not."""
    box: tuple[float, float, float, float] | None
    """(x, y, width, height) in pixels, as the file says; None where it does not."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One entry of a folder; nothing of it is decoded."""

    path: Path
    size: tuple[int, int]
    """(H, W) as the file says."""
    source: str | None
    annotations: tuple[Annotation, ...]
    """In the file's order; may be empty."""
    listed_in: str = "instances.json"
    """Name of the file that says so, for messages."""


def read_images(folder: Path) -> list[LabelledImage]:
    """The entries of a folder by ascending image id, at least one.

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
        pictures = [_picture(image, file, annotations[image["id"]]) for image in images]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder} is no COCO-format folder: instances.json is missing") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not in COCO format: {type(error).__name__} {error}") from error
    if not pictures:
        raise DataError(f"{file} lists no image; a data set needs at least one")
    if len(annotations) < len(pictures):
        raise DataError(f"{file} lists {len(pictures)} images of {len(annotations)} different ids; ids must differ")
    return pictures


def _picture(image: dict[str, Any], file: Path, annotations: list[Annotation]) -> LabelledImage:
    file_name, size = check_image_entry(image, f"{file}: image {image['id']}")
    return LabelledImage(file.parent / "images" / file_name, size, image.get("source"), tuple(annotations))


def check_image_entry(image: dict[str, Any], name: str) -> tuple[str, tuple[int, int]]:
    """The file name and the size (H, W) of a picture's entry; `name` is for messages.

    Raises:
        DataError: one of them is of the wrong kind.
        KeyError: one of them is missing.
    """
    file_name, size = image["file_name"], (image["height"], image["width"])
    if not isinstance(file_name, str) or not all(isinstance(side, int) and side > 0 for side in size):
        raise DataError(f"{name} needs a file_name, and width and height in whole pixels")
    return file_name, size


def read_annotation(entry: dict[str, Any], file: Path, categories: dict[Any, str]) -> Annotation:
    """One annotation of a file, whose categories are given by id; its mask is not looked at.

    Raises:
        DataError: its area or box is of the wrong kind.
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


def read_image(picture: LabelledImage) -> npt.NDArray[np.uint8]:
    """The picture, (H, W, 3) RGB.

    Raises:
        DataError: it is missing or unreadable, or of another size than listed.
    """
    loaded = cv2.imread(str(picture.path), cv2.IMREAD_COLOR_RGB)
    if loaded is None:
        raise DataError(f"picture {picture.path} is missing or unreadable, though {picture.listed_in} lists it")
    height, width = loaded.shape[:2]
    if (height, width) != picture.size:
        listed = f"{picture.size[1]}x{picture.size[0]}"
        raise DataError(f"picture {picture.path} is {width}x{height}, but {picture.listed_in} says {listed}")
    return np.asarray(loaded, dtype=np.uint8)


def annotation_mask(annotation: Annotation, size: tuple[int, int]) -> CropMask:
    """The mask of an annotation in its picture of `size` (H, W); an empty one has a crop of (0, 0).

    Raises:
        DataError: no polygons and no run lengths, or they do not fit the picture.
    """
    segmentation, name = annotation.segmentation, annotation.name
    # pycocotools reads beyond its memory when run lengths do not fill the picture, so that it gets polygons only.
    if isinstance(segmentation, dict):
        return _mask_of_runs(segmentation, size, name)
    if not isinstance(segmentation, list) or not segmentation or not all(map(_is_ring, segmentation)):
        raise DataError(
            f"{name}: a segmentation is run lengths, or polygons [x, y, x, y, …] of at least 3 points, got"
            f" {str(segmentation)[:60]}"
        )
    height, width = size
    flat = [value for ring in segmentation for value in ring]
    if min(flat) < -1 or max(flat[0::2]) > width + 1 or max(flat[1::2]) > height + 1:
        raise DataError(f"{name}: the polygon leaves the picture of {width}x{height}")
    runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return coco_to_crop(CocoRle(size=[height, width], counts=runs["counts"].decode("ascii")))


def _mask_of_runs(segmentation: dict[str, Any], size: tuple[int, int], name: str) -> CropMask:
    """The mask of COCO's run lengths, a list or the compressed string."""
    if segmentation.get("size") != list(size):
        raise DataError(f"{name}: the run lengths are for {segmentation.get('size')}, the picture is {list(size)}")
    counts = segmentation.get("counts")
    if isinstance(counts, list) and all(isinstance(count, int) and 0 <= count < 2**32 for count in counts):
        counts = pack_counts(np.array(counts, dtype=np.int64)).decode("ascii")
    if not isinstance(counts, str):
        raise DataError(f"{name}: counts are run lengths in whole pixels or a string, got {str(counts)[:60]}")
    try:
        return coco_to_crop(CocoRle(size=list(size), counts=counts))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _is_ring(ring: object) -> bool:
    """Whether it is [x, y, x, y, …] of at least three points."""
    return isinstance(ring, list) and len(ring) >= 6 and len(ring) % 2 == 0 and _are_numbers(ring)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)
