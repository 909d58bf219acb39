"""Self-training: what is not labelled gets the network's own confident answers as labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamseg.datasets.coco import annotation_mask, read_image, read_images
from streamseg.datasets.coco_writer import mask_entry, new_folder, write_instances
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.instances import Instances
from streamseg.structures.message import CropMask

__all__ = ["PseudoLabel", "label_folder", "pseudo_labels"]

MIN_AREA_PX = 100
"""Smaller answers are no labels: their outlines are mostly a matter of the grid."""


@dataclass(frozen=True, eq=False)
class PseudoLabel:
    """An answer that is good enough to learn from."""

    mask: CropMask
    score: float
    """The network's, 0..1."""


def pseudo_labels(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    labelled: Sequence[CropMask],
    size: tuple[int, int],
    *,
    min_score: float,
    max_overlap: float,
) -> list[PseudoLabel]:
    """Choose answers for what is not labelled; no pixel gets a second label.

    Args:
        masks: K answers in a picture.
        scores: of each, 0..1.
        labelled: masks of what is labelled already, crowds included.
        size: (H, W) of the picture.
        min_score: answers below are not believed.
        max_overlap: an answer of which a larger share, 0..1, is labelled is left out: it is the labelled object
            once more, or a part of it. Of the others, only pixels that are not labelled are taken.

    Returns:
        The best first. An answer that overlaps a better one is treated as if that one had been labelled.
    """
    taken = np.zeros(size, dtype=np.bool_)
    for mask in labelled:
        _window(taken, mask)[mask.crop] = True
    chosen = []
    for row in np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable"):
        mask, score = masks[row], float(scores[row])
        if score < min_score or mask.area < MIN_AREA_PX:
            continue
        window = _window(taken, mask)
        free = mask.crop & ~window
        num_free = int(np.count_nonzero(free))
        if num_free < max(MIN_AREA_PX, (1 - max_overlap) * mask.area):
            continue
        window[free] = True
        chosen.append(PseudoLabel(_tight(free, mask.x, mask.y), score))
    return chosen


def label_folder(
    folder: Path,
    out: Path,
    segment: Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]],
    *,
    min_score: float,
    max_overlap: float,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a COCO-format folder with the labels of another one and pseudo-labels where it has none.

    What was there stays word for word; what is added says `"pseudo": true` and its `score`. The pictures are not
    copied: `<out>/images` is a link to those of `folder`.

    Args:
        folder: COCO format.
        out: must be empty, or not there.
        segment: RGB pictures (H, W, 3) to their objects, such as a `Segmenter`.
        min_score: see `pseudo_labels`.
        max_overlap: see `pseudo_labels`.
        on_image: called with how many pictures are done, and of how many.

    Returns:
        How many labels were added.

    Raises:
        DataError: the folder or a picture is broken, or `out` cannot be written.
    """
    pictures = read_images(folder)
    content = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    categories = content.setdefault("categories", []) or [{"id": 1, "name": "object"}]
    content["categories"] = categories
    next_id = max((one["id"] for one in content["annotations"] if isinstance(one.get("id"), int)), default=0) + 1
    first_id = next_id
    with new_folder(out):
        images = sorted(content["images"], key=lambda image: image["id"])
        for done, (picture, image) in enumerate(zip(pictures, images, strict=True), start=1):
            found = segment([read_image(picture)])[0]
            labelled = [annotation_mask(annotation, picture.size) for annotation in picture.annotations]
            for label in pseudo_labels(
                instance_masks(found),
                found.scores.tolist(),
                labelled,
                picture.size,
                min_score=min_score,
                max_overlap=max_overlap,
            ):
                identity = {"id": next_id, "image_id": image["id"], "category_id": categories[0]["id"], "iscrowd": 0}
                origin = {"pseudo": True, "score": round(label.score, 4)}
                content["annotations"].append(identity | mask_entry(label.mask, picture.size) | origin)
                next_id += 1
            on_image(done, len(pictures))
        (out / "images").symlink_to((folder / "images").resolve(), target_is_directory=True)
        write_instances(out, content)
    return next_id - first_id


def _window(canvas: npt.NDArray[np.bool_], mask: CropMask) -> npt.NDArray[np.bool_]:
    height, width = mask.crop.shape
    return canvas[mask.y : mask.y + height, mask.x : mask.x + width]


def _tight(crop: npt.NDArray[np.bool_], x: int, y: int) -> CropMask:
    """A crop with at least one pixel at (x, y), without its empty border."""
    rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    inner = crop[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(inner.copy(), x + int(columns[0]), y + int(rows[0]))
