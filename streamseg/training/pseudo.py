"""Self-training: label unlabelled objects with the network's own confident detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamseg.datasets.check import none_usable, read_or_skip, usable_images
from streamseg.datasets.coco import read_json
from streamseg.datasets.coco_writer import mask_entry, new_folder, write_instances
from streamseg.datasets.masks import annotation_mask
from streamseg.datasets.problems import Problems
from streamseg.errors import DataError
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

__all__ = ["PseudoLabel", "label_folder", "pseudo_labels"]

MIN_AREA_PX = 100
"""Smaller detections are not used as labels: their outlines are determined mostly by the grid."""


@dataclass(frozen=True, eq=False)
class PseudoLabel:
    """A detection that is good enough to train on."""

    mask: CropMask
    score: float
    """Score from the network, 0..1."""


def pseudo_labels(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    labelled: Sequence[CropMask],
    size: tuple[int, int],
    *,
    min_score: float,
    max_overlap: float,
) -> list[PseudoLabel]:
    """Select detections of unlabelled objects; no pixel gets a second label.

    Args:
        masks: masks of K detections in an image.
        scores: their scores, 0..1.
        labelled: masks of labelled objects, including crowds.
        size: (H, W) of the image.
        min_score: minimum score of a label, 0..1.
        max_overlap: maximum share of a detection that may be labelled already, 0..1. Beyond it, the detection is a
            duplicate or a part of a labelled object. Accepted detections are reduced to their unlabelled pixels.

    Returns:
        Labels by descending score. An accepted detection counts as labelled for all with lower scores.
    """
    taken = np.zeros(size, dtype=np.bool_)
    for mask in labelled:
        _region(taken, mask)[mask.crop] = True
    chosen = []
    for row in np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable"):
        mask, score = masks[row], float(scores[row])
        if score < min_score or mask.area < MIN_AREA_PX:
            continue
        region = _region(taken, mask)
        free = mask.crop & ~region
        num_free = int(np.count_nonzero(free))
        if num_free < max(MIN_AREA_PX, (1 - max_overlap) * mask.area):
            continue
        region[free] = True
        chosen.append(PseudoLabel(_tight(free, mask.x, mask.y), score))
    return chosen


def label_folder(
    folder: Path,
    out: Path,
    segment: Callable[[Sequence[ImageArray]], Sequence[Instances]],
    *,
    min_score: float,
    max_overlap: float,
    on_image: Callable[[int, int], None] = lambda done, total: None,
    problems: Problems | None = None,
) -> int:
    """Write a COCO-format folder with the labels of `folder`, and pseudo-labels for its unlabelled objects.

    Existing labels are copied verbatim; added ones have `"pseudo": true` and their `score`. The images are not copied:
    `<out>/images` is a symbolic link to those of `folder`.

    Args:
        folder: folder in COCO format.
        out: output folder; must be empty or missing.
        segment: function from RGB images (H, W, 3) to their instances, such as a `Segmenter`.
        min_score: see `pseudo_labels`.
        max_overlap: see `pseudo_labels`.
        on_image: called with the number of finished images and their total.
        problems: collects the images and annotations that are skipped: such images get no labels, and such annotations
            are copied, but do not count as labels. None refuses a folder with any.

    Returns:
        The number of added labels.

    Raises:
        DataError: the folder is broken, or contains no usable image; or `problems` is None, and an image or annotation
            is unusable; or `out` cannot be written.
    """
    if not (folder / "instances.json").is_file():
        raise DataError(f"{folder} is not a COCO-format folder: instances.json is missing; label needs this format")
    entries = usable_images(folder, problems)
    content = read_json(folder / "instances.json")
    categories = content.get("categories") or [{"id": 1, "name": "object"}]
    content["categories"] = categories
    next_id = max((one["id"] for one in content["annotations"] if _has_number(one)), default=0) + 1
    first_id, num_labelled = next_id, 0
    with new_folder(out):
        for done, entry in enumerate(entries, start=1):
            image = read_or_skip(entry, problems)
            if image is not None:
                num_labelled += 1
                detected = segment([image])[0]
                for label in pseudo_labels(
                    instance_masks(detected),
                    detected.scores.tolist(),
                    [annotation_mask(annotation, entry.size) for annotation in entry.annotations],
                    entry.size,
                    min_score=min_score,
                    max_overlap=max_overlap,
                ):
                    identity = {"id": next_id, "image_id": entry.id, "category_id": categories[0]["id"], "iscrowd": 0}
                    origin = {"pseudo": True, "score": round(label.score, 4)}
                    content["annotations"].append(identity | mask_entry(label.mask, entry.size) | origin)
                    next_id += 1
            on_image(done, len(entries))
        if not num_labelled and problems is not None:
            raise none_usable(folder, problems)
        (out / "images").symlink_to((folder / "images").resolve(), target_is_directory=True)
        write_instances(out, content)
    return next_id - first_id


def _has_number(annotation: object) -> bool:
    return isinstance(annotation, dict) and isinstance(annotation.get("id"), int)


def _region(canvas: MaskArray, mask: CropMask) -> MaskArray:
    height, width = mask.crop.shape
    return canvas[mask.y : mask.y + height, mask.x : mask.x + width]


def _tight(crop: MaskArray, x: int, y: int) -> CropMask:
    """Remove the empty border of a crop at (x, y) that contains at least one pixel."""
    rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    inner = crop[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(inner.copy(), x + int(columns[0]), y + int(rows[0]))
