"""Labelled pictures of COCO-format folders for training, every category made one.

The rest serves folders of other formats as well: `read_sample`, `shrink_mask`, `SampleCache`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.datasets.coco import LabelledImage, annotation_mask, read_image, read_images
from streamseg.errors import DataError
from streamseg.structures.message import CropMask

__all__ = [
    "CACHE_PX",
    "MAX_SIDE_PX",
    "CocoFolder",
    "LabelledFolder",
    "LabelledObject",
    "Sample",
    "SampleCache",
    "read_sample",
    "shrink_mask",
]

MAX_SIDE_PX = 640
"""Pictures are shrunk to this long side when read; training crops are smaller anyway."""

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


class LabelledFolder(Protocol):
    """A folder of labelled pictures, in whatever format."""

    def __len__(self) -> int: ...

    def picture(self, index: int) -> LabelledImage:
        """Entry `index`, 0 <= index < len; raises DataError where it is broken."""
        ...

    def sample(self, index: int) -> Sample:
        """The same with its pixels; raises DataError where something contradicts itself."""
        ...


class SampleCache:
    """Samples that were read, up to so many pixels; those that were not asked for the longest go first."""

    def __init__(self, capacity_px: int) -> None:
        self._capacity_px = capacity_px
        self._samples: OrderedDict[int, Sample] = OrderedDict()
        self._held_px = 0

    def get(self, index: int, read: Callable[[int], Sample]) -> Sample:
        """Sample `index`, which is read where it is not held."""
        if index in self._samples:
            self._samples.move_to_end(index)
            return self._samples[index]
        sample = read(index)
        self._samples[index] = sample
        self._held_px += sample.image.shape[0] * sample.image.shape[1]
        while self._held_px > self._capacity_px:
            _, old = self._samples.popitem(last=False)
            self._held_px -= old.image.shape[0] * old.image.shape[1]
        return sample


class CocoFolder:
    """`<path>/instances.json` and `<path>/images/`, as in COCO.

    Args:
        path: the folder.
        source: only pictures whose entry has this `source`; None: all. Lets one folder be sampled unevenly.
        background_weight: see `Sample`; 1 for exhaustively labelled sets.
        max_side: pictures are shrunk to this long side when read.
        cache_px: pixels kept decoded.

    Raises:
        DataError: the folder or its JSON is missing or broken, or holds no picture.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str | None = None,
        background_weight: float = 1.0,
        max_side: int = MAX_SIDE_PX,
        cache_px: int = CACHE_PX,
    ) -> None:
        self.path = path
        self.background_weight = background_weight
        self._max_side = max_side
        self._pictures = _of_source(read_images(path), source, path)
        self._cache = SampleCache(cache_px)

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, index: int) -> LabelledImage:
        """Entry `index` (0 <= index < len)."""
        return self._pictures[index]

    def sample(self, index: int) -> Sample:
        """Read picture `index` (0 <= index < len) with its objects.

        Raises:
            DataError: the picture is missing or unreadable, or an annotation contradicts it.
        """
        return self._cache.get(index, self._read)

    def _read(self, index: int) -> Sample:
        return read_sample(self._pictures[index], max_side=self._max_side, background_weight=self.background_weight)


def read_sample(picture: LabelledImage, *, max_side: int, background_weight: float) -> Sample:
    """Read an entry's picture and masks, shrunk to the long side `max_side` where they are larger.

    Raises:
        DataError: the picture is missing or unreadable, or an annotation contradicts it.
    """
    image = read_image(picture)
    height, width = picture.size
    scale = min(max_side / max(height, width), 1.0)
    if scale < 1:
        scaled_size = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = np.asarray(cv2.resize(image, scaled_size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    objects = []
    for annotation in picture.annotations:
        mask = shrink_mask(annotation_mask(annotation, picture.size), picture.size, image.shape[:2])
        if mask.crop.any():
            objects.append(LabelledObject(mask, is_part=annotation.is_part, is_crowd=annotation.is_crowd))
    return Sample(image, tuple(objects), background_weight)


def _of_source(pictures: list[LabelledImage], source: str | None, path: Path) -> list[LabelledImage]:
    if source is None:
        return pictures
    chosen = [picture for picture in pictures if picture.source == source]
    if not chosen:
        known = sorted({str(picture.source) for picture in pictures})
        raise DataError(f"{path} has no image of source {source!r}; there are {', '.join(known)}")
    return chosen


def shrink_mask(mask: CropMask, size: tuple[int, int], scaled_size: tuple[int, int]) -> CropMask:
    """The mask of a picture of `size` (H, W) in the same picture at `scaled_size`: cells that it covers by half."""
    if size == scaled_size or not mask.area:
        return mask
    # On the whole canvas, as the picture was: scaled alone, a crop would move by up to half a pixel.
    full = mask.full(size).astype(np.uint8) * 255
    covered = cv2.resize(full, (scaled_size[1], scaled_size[0]), interpolation=cv2.INTER_AREA) > 127
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if not len(rows):
        return CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)
    crop = covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(crop.copy(), int(columns[0]), int(rows[0]))
