"""COCO-format folders: pictures and their instance masks, every category made one."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from streamseg.errors import DataError
from streamseg.structures.message import CropMask

__all__ = ["CocoFolder", "LabelledObject", "Sample"]

CACHE_PX = 400_000_000
"""Pixels kept decoded per folder and worker (about 1.2 GB), so that small sets are read once."""


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One instance of a picture."""

    mask: CropMask
    is_part: bool = False
    """A part of another labelled object, such as a shirt on a person."""
    is_crowd: bool = False
    """A region with many objects that are not labelled one by one: neither positive nor negative."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled picture."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB."""
    objects: tuple[LabelledObject, ...]
    background_weight: float = 1.0
    """How much a detection outside all labels is punished, 0..1; below 1 where labels are incomplete."""


class CocoFolder:
    """`<path>/instances.json` and `<path>/images/`, as in COCO.

    Args:
        path: the folder.
        source: only pictures whose entry has this `source`; None: all. Lets one folder be sampled unevenly.
        background_weight: see `Sample`; 1 for exhaustively labelled sets.
        max_side: pictures are shrunk to this long side when read; training crops are smaller anyway.

    Raises:
        DataError: the folder or its JSON is missing or broken, or holds no picture.
    """

    def __init__(
        self, path: Path, *, source: str | None = None, background_weight: float = 1.0, max_side: int = 640
    ) -> None:
        self.path = path
        self.background_weight = background_weight
        self._max_side = max_side
        self._images, self._annotations = _read_index(path, source)
        self._cache: OrderedDict[int, Sample] = OrderedDict()
        self._cached_px = 0

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int) -> Sample:
        """Read picture `index` (0 <= index < len) with its objects.

        Raises:
            DataError: the picture is missing or unreadable, or an annotation contradicts it.
        """
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        sample = self._read(index)
        self._cache[index] = sample
        self._cached_px += sample.image.shape[0] * sample.image.shape[1]
        while self._cached_px > CACHE_PX:
            _, old = self._cache.popitem(last=False)
            self._cached_px -= old.image.shape[0] * old.image.shape[1]
        return sample

    def _read(self, index: int) -> Sample:
        entry = self._images[index]
        file = self.path / "images" / entry["file_name"]
        loaded = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
        if loaded is None:
            raise DataError(f"picture {file} is missing or unreadable, though {self.path / 'instances.json'} lists it")
        image = np.asarray(loaded, dtype=np.uint8)
        height, width = image.shape[:2]
        if (height, width) != (entry["height"], entry["width"]):
            listed = f"{entry['width']}x{entry['height']}"
            raise DataError(f"picture {file} is {width}x{height}, but instances.json says {listed}")
        scale = min(self._max_side / max(height, width), 1.0)
        if scale < 1:
            image = np.asarray(
                cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA),
                dtype=np.uint8,
            )
        objects = []
        for annotation in self._annotations.get(entry["id"], ()):
            mask = _crop_mask(annotation, (height, width), file, image.shape[:2])
            if mask is not None:
                objects.append(
                    LabelledObject(
                        mask,
                        is_part=annotation.get("level") == "part",
                        is_crowd=bool(annotation.get("iscrowd", 0)),
                    )
                )
        return Sample(image, tuple(objects), self.background_weight)


def _read_index(path: Path, source: str | None) -> tuple[list[dict[str, Any]], dict[int, list[dict[str, Any]]]]:
    """The images, and the annotations by image id."""
    file = path / "instances.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        images = sorted(content["images"], key=lambda image: image["id"])
        annotations: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in images}
        for image in images:
            if not {"file_name", "width", "height"} <= image.keys():
                raise DataError(f"{file}: image {image['id']} needs file_name, width and height")
        for annotation in content["annotations"]:
            if annotation["image_id"] not in annotations:
                raise DataError(
                    f"{file}: annotation {annotation.get('id')} belongs to image {annotation['image_id']},"
                    " which is not listed"
                )
            annotations[annotation["image_id"]].append(annotation)
    except FileNotFoundError as error:
        raise DataError(f"{path} is no COCO-format folder: instances.json is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} is not in COCO format: {type(error).__name__} {error}") from error
    if source is not None:
        known = sorted({str(image.get("source")) for image in images})
        images = [image for image in images if image.get("source") == source]
        if not images:
            raise DataError(f"{file} has no image of source {source!r}; there are {', '.join(known)}")
    if not images:
        raise DataError(f"{file} lists no image; a data set needs at least one")
    return images, annotations


def _crop_mask(
    annotation: dict[str, Any], size: tuple[int, int], file: Path, scaled_size: tuple[int, int]
) -> CropMask | None:
    """The annotation's mask, at the scaled size; None where no pixel is left."""
    height, width = size
    segmentation = annotation.get("segmentation")
    name = f"annotation {annotation.get('id')} of {file.name}"
    if isinstance(segmentation, dict):
        if list(segmentation.get("size", ())) != [height, width]:
            raise DataError(
                f"{name}: the run lengths are for {segmentation.get('size')}, the picture is [{height}, {width}]"
            )
        runs = segmentation
        if isinstance(segmentation.get("counts"), list):
            runs = coco_mask.frPyObjects(segmentation, height, width)
    elif isinstance(segmentation, list) and segmentation and all(len(ring) >= 6 for ring in segmentation):
        flat = [value for ring in segmentation for value in ring]
        if min(flat) < -1 or max(flat[0::2]) > width + 1 or max(flat[1::2]) > height + 1:
            raise DataError(f"{name}: the polygon leaves the picture of {width}x{height}")
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    else:
        raise DataError(f"{name}: a segmentation is polygons of at least 3 points or run lengths")
    x, y, box_width, box_height = (int(value) for value in coco_mask.toBbox(runs))
    if box_width == 0 or box_height == 0:
        return None
    crop = coco_mask.decode(runs)[y : y + box_height, x : x + box_width]
    scale_y, scale_x = scaled_size[0] / height, scaled_size[1] / width
    if scale_x < 1 or scale_y < 1:
        x0, y0 = int(x * scale_x), int(y * scale_y)
        x1 = min(max(round((x + box_width) * scale_x), x0 + 1), scaled_size[1])
        y1 = min(max(round((y + box_height) * scale_y), y0 + 1), scaled_size[0])
        crop = cv2.resize(crop * 255, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA) > 127
        x, y = x0, y0
    inside = np.ascontiguousarray(crop).astype(np.bool_)
    return CropMask(inside, x, y) if inside.any() else None
