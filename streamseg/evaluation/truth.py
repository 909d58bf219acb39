"""What is labelled in the pictures of a COCO-format folder, ready to be compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamseg.datasets.coco import LabelledImage, annotation_mask, read_image, read_images
from streamseg.errors import DataError
from streamseg.structures.instances import Instances
from streamseg.structures.message import CropMask

__all__ = ["SIZES", "ImageTruth", "OnImage", "SegmentFunction", "image_truth", "labelled_images", "size_masks"]

SegmentFunction = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]
"""RGB pictures (H, W, 3) to their objects, such as a `Segmenter`."""
OnImage = Callable[[int, int], None]
"""Called with how many pictures are done, and of how many."""

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Areas in pixels, as COCO has them: both ends belong to the range, so that 32² is small and medium."""


@dataclass(frozen=True, eq=False)
class ImageTruth:
    """The G labelled objects of one picture; G may be 0."""

    masks: tuple[CropMask, ...]
    boxes: npt.NDArray[np.float64]
    """(G, 4) xyxy, as the file says; of the mask where it does not."""
    areas: npt.NDArray[np.float64]
    """(G,) pixels, as the file says (COCO measures the polygon); of the mask where it does not."""
    is_crowd: npt.NDArray[np.bool_]
    labels: tuple[str, ...]

    @property
    def objects(self) -> list[int]:
        """Indices of what can be asked for one by one: no crowd, and not empty."""
        return [row for row, mask in enumerate(self.masks) if mask.crop.size and not self.is_crowd[row]]


def image_truth(picture: LabelledImage) -> ImageTruth:
    """The labels of one entry.

    Raises:
        DataError: an annotation is broken or does not fit its picture.
    """
    masks = tuple(annotation_mask(annotation, picture.size) for annotation in picture.annotations)
    boxes = np.zeros((len(masks), 4))
    for row, (annotation, mask) in enumerate(zip(picture.annotations, masks, strict=True)):
        x, y, width, height = annotation.box or (mask.x, mask.y, mask.crop.shape[1], mask.crop.shape[0])
        boxes[row] = x, y, x + width, y + height
    areas = [
        float(mask.area) if annotation.area is None else annotation.area
        for annotation, mask in zip(picture.annotations, masks, strict=True)
    ]
    return ImageTruth(
        masks=masks,
        boxes=boxes,
        areas=np.array(areas, dtype=np.float64),
        is_crowd=np.array([annotation.is_crowd for annotation in picture.annotations], dtype=np.bool_),
        labels=tuple(annotation.label for annotation in picture.annotations),
    )


def labelled_images(
    folder: Path, *, limit: int | None = None, on_image: OnImage = lambda done, total: None
) -> Iterator[tuple[npt.NDArray[np.uint8], ImageTruth]]:
    """Each picture (H, W, 3) RGB of a folder with its labels, by ascending image id.

    Everything but the contents of the pictures is checked before the first one is given: a mistake in the
    last annotation must not cost the time of all pictures before it.

    Args:
        folder: with `instances.json` and `images/`.
        limit: the most pictures, the first ones; None for all.
        on_image: called when the caller is done with a picture.

    Raises:
        DataError: the folder is missing, broken or empty, or a picture is unreadable.
    """
    pictures = read_images(folder)[:limit]
    for picture in pictures:
        if not picture.path.is_file():
            raise DataError(f"picture {picture.path} is missing, though instances.json lists it")
        image_truth(picture)
    for position, picture in enumerate(pictures):
        yield read_image(picture), image_truth(picture)
        on_image(position + 1, len(pictures))


def size_masks(areas: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Which of the objects of areas (N,) are small, medium and large."""
    return {name: (areas >= low) & (areas <= high) for name, (low, high) in SIZES.items()}
