"""Labels of a COCO-format folder as evaluation ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from streamseg.datasets.check import none_usable, read_or_skip, usable_images
from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.masks import annotation_mask
from streamseg.datasets.problems import Problems
from streamseg.datasets.subset import ImageList
from streamseg.datasets.yolo_yaml import Split
from streamseg.structures.arrays import BoolArray, Float64Array, ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

__all__ = [
    "SIZES",
    "BoxInstances",
    "ImageTruth",
    "OnImage",
    "RankInstances",
    "SegmentImages",
    "image_truth",
    "labelled_images",
    "network_boxes",
    "own_scores",
    "size_masks",
]

SegmentImages = Callable[[Sequence[ImageArray]], Sequence[Instances]]
"""Maps RGB images (H, W, 3) to one Instances each, such as a `Segmenter` called without search regions."""
RankInstances = Callable[[Instances], Tensor]
"""Returns the scores (K,) by which K instances are ranked, on the host or a device."""
BoxInstances = Callable[[Instances, Sequence[CropMask]], Float64Array]
"""Returns the boxes (K, 4) xyxy of K instances, given their masks, in pixels of the image."""
OnImage = Callable[[int, int], None]
"""Progress callback: number of images done, total number."""

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Ranges of areas in pixels, as defined by COCO. Both ends are inclusive: 32² is small and medium."""


@dataclass(frozen=True, eq=False)
class ImageTruth:
    """Labels of one image with G objects; G may be 0."""

    masks: tuple[CropMask, ...]
    boxes: Float64Array
    """(G, 4) xyxy in pixels, from the file; the mask's box if the file has none."""
    areas: Float64Array
    """(G,) pixels, from the file (COCO measures the polygon); the mask's area if the file has none."""
    is_crowd: BoolArray
    labels: tuple[str, ...]

    @property
    def objects(self) -> list[int]:
        """Indices of the objects that can be prompted: no crowds, no empty masks."""
        return [row for row, mask in enumerate(self.masks) if mask.crop.size and not self.is_crowd[row]]


def own_scores(instances: Instances) -> Tensor:
    """Rank instances by their own scores (K,)."""
    return instances.scores


def network_boxes(instances: Instances, masks: Sequence[CropMask]) -> Float64Array:
    """Return the boxes (K, 4) of instances as they are, whatever their masks."""
    return instances.boxes.numpy(force=True).astype(np.float64)


def image_truth(labelled: LabelledImage) -> ImageTruth:
    """Return the labels of one entry.

    Raises:
        DataError: an annotation is invalid or does not fit its image.
    """
    masks = tuple(annotation_mask(annotation, labelled.size) for annotation in labelled.annotations)
    boxes = np.zeros((len(masks), 4))
    for row, (annotation, mask) in enumerate(zip(labelled.annotations, masks, strict=True)):
        x, y, width, height = annotation.box or (mask.x, mask.y, mask.crop.shape[1], mask.crop.shape[0])
        boxes[row] = x, y, x + width, y + height
    areas = [
        float(mask.area) if annotation.area is None else annotation.area
        for annotation, mask in zip(labelled.annotations, masks, strict=True)
    ]
    return ImageTruth(
        masks=masks,
        boxes=boxes,
        areas=np.array(areas, dtype=np.float64),
        is_crowd=np.array([annotation.is_crowd for annotation in labelled.annotations], dtype=np.bool_),
        labels=tuple(annotation.label for annotation in labelled.annotations),
    )


def labelled_images(
    folder: Path | ImageList,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
    split: Split = "val",
) -> Iterator[tuple[ImageArray, ImageTruth]]:
    """Yield each image (H, W, 3) RGB of a folder with its labels, by ascending image id; at least one.

    Everything except the pixels is checked before the first image is yielded, because an error in the last
    annotation must not waste the time spent on all images before it.

    Args:
        folder: a folder with `instances.json` and `images/`, a YOLO data set, or a list, see `usable_images`.
        limit: maximum number of images, taken from the start; None for all.
        on_image: called when the caller has finished with an image.
        problems: collects the images and annotations that are skipped; None refuses a folder with any.
        split: split of a YOLO data set.

    Raises:
        DataError: the folder is missing, invalid or empty, or no image is usable; or something would be skipped and
            `problems` is None.
    """
    listed = usable_images(folder, problems, limit=limit, split=split)
    num_yielded = 0
    for position, labelled in enumerate(listed):
        image = read_or_skip(labelled, problems)
        if image is not None:
            num_yielded += 1
            yield image, image_truth(labelled)
        on_image(position + 1, len(listed))
    if not num_yielded and problems is not None:
        raise none_usable(folder.name if isinstance(folder, ImageList) else folder, problems)


def size_masks(areas: Float64Array) -> dict[str, BoolArray]:
    """Return a mask (N,) for each of the sizes small, medium and large, given areas (N,) in pixels."""
    return {name: (areas >= low) & (areas <= high) for name, (low, high) in SIZES.items()}
