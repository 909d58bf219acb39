"""Masks of annotations: polygons and run lengths.

Polygons may leave the image a little, as rounding and scaling in labelling programs make them do; they are clipped.
Rings of fewer than three points have no area and are ignored, as in COCO's own program, if another ring remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from streamseg.datasets.entries import Annotation, LabelledImage
from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import DataError
from streamseg.rle import CocoRle, coco_to_crop, pack_counts
from streamseg.structures.mask import CropMask

__all__ = ["MAX_OVERHANG_PX", "MAX_OVERHANG_SHARE", "annotation_mask", "are_numbers", "check_annotation"]

MAX_OVERHANG_PX, MAX_OVERHANG_SHARE = 3.0, 0.01
"""A polygon may leave the image by this number of pixels, or by this share of the image's side if that is more. Beyond
both, it was drawn for another image or another size."""

MAX_NUMBER = 1e15
MIN_RING_LENGTH = 6
"""Coordinates of three points."""


def annotation_mask(annotation: Annotation, size: tuple[int, int]) -> CropMask:
    """Return the mask of an annotation in its image of `size` (H, W); an empty mask has a crop of (0, 0).

    Raises:
        DataError: neither polygons nor run lengths, or they do not fit the image.
    """
    # pycocotools reads out of bounds if run lengths do not fill the image; therefore it only gets polygons.
    if isinstance(annotation.segmentation, dict):
        return _mask_of_runs(annotation.segmentation, size, annotation.name)
    height, width = size
    runs = coco_mask.merge(coco_mask.frPyObjects(_rings(annotation, size), height, width))
    return coco_to_crop(CocoRle(size=[height, width], counts=runs["counts"].decode("ascii")))


def check_annotation(annotation: Annotation, entry: LabelledImage, problems: Problems) -> bool:
    """Return whether the mask of an annotation of this image can be built; add what is wrong with it to `problems`."""
    try:
        if isinstance(annotation.segmentation, dict):
            _mask_of_runs(annotation.segmentation, entry.size, annotation.name)
            return True
        num_ignored = len(annotation.segmentation or ()) - len(_rings(annotation, entry.size))
    except DataError as error:
        problems.add(Problem("annotation", entry.list_file, str(error), annotation.id))
        return False
    if num_ignored:
        total = len(annotation.segmentation)
        message = f"{annotation.name}: a ring needs at least 3 points, {num_ignored} of {total} rings have fewer"
        problems.add(Problem("ring", entry.list_file, message, annotation.id, num_ignored))
    return True


def _rings(annotation: Annotation, size: tuple[int, int]) -> list[list[float]]:
    """Return the rings of at least three points, one or more, each [x, y, x, y, …]."""
    segmentation, (height, width) = annotation.segmentation, size
    are_rings = isinstance(segmentation, list) and all(map(_is_ring, segmentation))
    rings = [ring for ring in segmentation if len(ring) >= MIN_RING_LENGTH] if are_rings else []
    if not rings:
        raise DataError(
            f"{annotation.name}: a segmentation must be run lengths, or polygons [x, y, x, y, …] of at least 3 points,"
            f" got {str(segmentation)[:60]}"
        )
    flat = [value for ring in rings for value in ring]
    if _leaves(flat[0::2], width) or _leaves(flat[1::2], height):
        raise DataError(f"{annotation.name}: the polygon leaves the image of {width}x{height}")
    return rings


def _leaves(coordinates: Sequence[float], side: int) -> bool:
    overhang = max(MAX_OVERHANG_PX, MAX_OVERHANG_SHARE * side)
    return min(coordinates) < -overhang or max(coordinates) > side + overhang


def _mask_of_runs(segmentation: dict[str, Any], size: tuple[int, int], name: str) -> CropMask:
    """Return the mask of COCO's run lengths, a list or the compressed string."""
    if segmentation.get("size") != list(size):
        raise DataError(
            f"{name}: the run lengths are for size {segmentation.get('size')}, but the image has size {list(size)}"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, list) and all(map(_is_run_length, counts)):
        counts = pack_counts(np.array(counts, dtype=np.int64)).decode("ascii")
    if not isinstance(counts, str):
        raise DataError(f"{name}: counts must be run lengths in whole pixels or a string, got {str(counts)[:60]}")
    try:
        return coco_to_crop(CocoRle(size=list(size), counts=counts))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _is_run_length(count: object) -> bool:
    return isinstance(count, int | float) and 0 <= count < 2**32 and count == int(count)


def _is_ring(ring: object) -> bool:
    """Return whether `ring` is [x, y, x, y, …] of any number of points."""
    return isinstance(ring, list) and len(ring) % 2 == 0 and are_numbers(ring)


def are_numbers(values: list[Any]) -> bool:
    """Return whether all values are numbers of a size that pixels can have; not nan."""
    return all(isinstance(value, int | float) and -MAX_NUMBER < value < MAX_NUMBER for value in values)
