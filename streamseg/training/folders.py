"""COCO-format folders: pictures and their instance masks, every category made one."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
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
        cache_px: pixels kept decoded; those that were not asked for the longest go first.

    Raises:
        DataError: the folder or its JSON is missing or broken, or holds no picture.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str | None = None,
        background_weight: float = 1.0,
        max_side: int = 640,
        cache_px: int = CACHE_PX,
    ) -> None:
        self.path = path
        self.background_weight = background_weight
        self._max_side = max_side
        self._cache_px = cache_px
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
        while self._cached_px > self._cache_px:
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
            scaled_size = (max(round(width * scale), 1), max(round(height * scale), 1))
            image = np.asarray(cv2.resize(image, scaled_size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        objects = []
        for annotation in self._annotations[entry["id"]]:
            mask = _shrink(_mask(annotation, (height, width), file), (height, width), image.shape[:2])
            if mask.crop.any():
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
            sides = (image["width"], image["height"])
            if not isinstance(image["file_name"], str) or not all(isinstance(side, int) and side > 0 for side in sides):
                raise DataError(f"{file}: image {image['id']} needs file_name, and width and height in whole pixels")
        for annotation in content["annotations"]:
            if annotation["image_id"] not in annotations:
                raise DataError(
                    f"{file}: annotation {annotation.get('id')} belongs to image {annotation['image_id']},"
                    " which is not listed"
                )
            annotations[annotation["image_id"]].append(annotation)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path} is no COCO-format folder: instances.json is missing") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not in COCO format: {type(error).__name__} {error}") from error
    if not images:
        raise DataError(f"{file} lists no image; a data set needs at least one")
    if len(annotations) < len(images):
        raise DataError(f"{file} lists {len(images)} images of {len(annotations)} different ids; ids must differ")
    if source is not None:
        known = sorted({str(image.get("source")) for image in images})
        images = [image for image in images if image.get("source") == source]
        if not images:
            raise DataError(f"{file} has no image of source {source!r}; there are {', '.join(known)}")
    return images, annotations


def _mask(annotation: dict[str, Any], size: tuple[int, int], file: Path) -> CropMask:
    """The annotation's mask in a picture of `size` (H, W); an empty one has a crop of (0, 0).

    pycocotools reads beyond its memory when run lengths do not fill the picture, so that it gets polygons only.
    """
    segmentation = annotation.get("segmentation")
    name = f"annotation {annotation.get('id')} of {file.name}"
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
    return (
        isinstance(ring, list)
        and len(ring) >= 6
        and len(ring) % 2 == 0
        and all(isinstance(value, int | float) and math.isfinite(value) for value in ring)
    )


def _shrink(mask: CropMask, size: tuple[int, int], scaled_size: tuple[int, int]) -> CropMask:
    """The mask of a picture of `size` (H, W) in the same picture at `scaled_size`."""
    if size == scaled_size or not mask.area:
        return mask
    scale_y, scale_x = scaled_size[0] / size[0], scaled_size[1] / size[1]
    height, width = mask.crop.shape
    x0, y0 = min(round(mask.x * scale_x), scaled_size[1] - 1), min(round(mask.y * scale_y), scaled_size[0] - 1)
    x1, y1 = max(round((mask.x + width) * scale_x), x0 + 1), max(round((mask.y + height) * scale_y), y0 + 1)
    covered = cv2.resize(mask.crop.astype(np.uint8) * 255, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return CropMask(covered > 127, x0, y0)
