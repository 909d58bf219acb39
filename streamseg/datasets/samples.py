"""Labelled images for training, independent of the folder format; all categories are merged into one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from streamseg.datasets.coco import LabelledImage, annotation_mask, read_image
from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask

__all__ = [
    "CACHE_PX",
    "MAX_SIDE_PX",
    "LabelledFolder",
    "LabelledObject",
    "Sample",
    "SampleCache",
    "read_sample",
    "shrink_mask",
]

MAX_SIDE_PX = 640
"""Images are shrunk to this long side when read; training crops are smaller anyway."""

CACHE_PX = 400_000_000
"""Decoded pixels cached per folder and worker (about 1.2 GB), so that small data sets are read only once."""


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One instance in an image."""

    mask: CropMask
    is_part: bool = False
    """Part of another labelled object, such as a shirt on a person."""
    is_crowd: bool = False
    """Region with many objects that are not labelled one by one: neither positive nor negative."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled image."""

    image: ImageArray
    """(H, W, 3) RGB."""
    objects: tuple[LabelledObject, ...]
    background_weight: float = 1.0
    """Penalty for a detection outside all labels, 0..1; below 1 if labels are incomplete."""


class LabelledFolder(Protocol):
    """A folder of labelled images in any format."""

    def __len__(self) -> int: ...

    def entry(self, index: int) -> LabelledImage:
        """Return entry `index`, 0 <= index < len; raise DataError if it is broken."""
        ...

    def sample(self, index: int) -> Sample:
        """Return the same image with its pixels; raise DataError if pixels and labels contradict each other."""
        ...


class SampleCache:
    """The most recently used samples, up to a number of pixels; the least recently used are evicted first."""

    def __init__(self, capacity_px: int) -> None:
        self._capacity_px = capacity_px
        self._samples: OrderedDict[int, Sample] = OrderedDict()
        self._held_px = 0

    def get(self, index: int, read: Callable[[int], Sample]) -> Sample:
        """Return sample `index`; read it if it is not in the cache."""
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


def read_sample(entry: LabelledImage, *, max_side: int, background_weight: float) -> Sample:
    """Read the image and masks of an entry, shrunk to the long side `max_side` if they are larger.

    The background of a partly labelled image weighs nothing, whatever `background_weight` is.

    Raises:
        DataError: the image is missing or unreadable, or an annotation contradicts it.
    """
    image = read_image(entry)
    height, width = entry.size
    scale = min(max_side / max(height, width), 1.0)
    if scale < 1:
        scaled_size = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = np.asarray(cv2.resize(image, scaled_size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    objects = []
    for annotation in entry.annotations:
        mask = shrink_mask(annotation_mask(annotation, entry.size), entry.size, image.shape[:2])
        if mask.crop.any():
            objects.append(LabelledObject(mask, is_part=annotation.is_part, is_crowd=annotation.is_crowd))
    return Sample(image, tuple(objects), 0.0 if entry.is_partly_labelled else background_weight)


def shrink_mask(mask: CropMask, size: tuple[int, int], scaled_size: tuple[int, int]) -> CropMask:
    """Scale a mask with its image from `size` (H, W) to `scaled_size`: the cells that it covers by half."""
    if size == scaled_size or not mask.area:
        return mask
    # Scale the whole canvas, like the image: scaled on its own, a crop would move by up to half a pixel.
    full = mask.full(size).astype(np.uint8) * 255
    covered = cv2.resize(full, (scaled_size[1], scaled_size[0]), interpolation=cv2.INTER_AREA) > 127
    return CropMask.of(covered)
