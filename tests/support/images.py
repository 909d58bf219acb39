"""Drawn images with exactly known masks, as labelled samples and as instances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from streamseg.datasets.samples import LabelledObject, Sample
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

BACKGROUND = (90, 90, 90)


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> MaskArray:
    """Return the pixels of a canvas (H, W) whose centres lie within a circle."""
    columns, rows = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def rectangle(size: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> MaskArray:
    """Return the pixels x0 to x1 - 1, y0 to y1 - 1 of a canvas (H, W)."""
    mask = np.zeros(size, dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def paint(masks: Sequence[MaskArray], colours: Sequence[tuple[int, int, int]], size: tuple[int, int]) -> ImageArray:
    """Paint each mask in its own colour on grey, the last on top."""
    image = np.full((*size, 3), BACKGROUND, dtype=np.uint8)
    for mask, colour in zip(masks, colours, strict=True):
        image[mask] = colour
    return image


def crop_of(mask: MaskArray) -> CropMask:
    """Crop a full mask to its tight box; an empty mask has a crop of (0, 0)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(crop.copy(), int(columns[0]), int(rows[0]))


def labelled(mask: MaskArray, *, is_part: bool = False, is_crowd: bool = False) -> LabelledObject:
    """Return a labelled object with a full mask."""
    return LabelledObject(crop_of(mask), is_part=is_part, is_crowd=is_crowd)


def drawn_sample(seed: int = 0, size: tuple[int, int] = (96, 128), num_objects: int = 3) -> Sample:
    """Draw discs and rectangles in bright colours; the masks exclude covered pixels."""
    rng = np.random.default_rng(seed)
    height, width = size
    masks: list[MaskArray] = []
    for _ in range(num_objects):
        x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
        extent = rng.uniform(0.12, 0.3) * min(size)
        if rng.random() < 0.5:
            mask = disc(size, x, y, extent)
        else:
            mask = rectangle(size, int(x - extent), int(y - extent), int(x + extent), int(y + extent))
        masks = [other & ~mask for other in masks] + [mask]
    colours = [tuple(int(value) for value in rng.integers(0, 256, 3)) for _ in masks]
    return Sample(paint(masks, colours, size), tuple(labelled(mask) for mask in masks if mask.any()))


class ListSource:
    """A source that serves samples from a list."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> Sample:
        return self._samples[index]


def exact_instances(
    masks: Sequence[MaskArray], scores: Sequence[float] | None = None, *, size: tuple[int, int]
) -> Instances:
    """Return instances with exactly these masks, at full size, and tight boxes; scores descend unless given."""
    boxes = []
    for mask in masks:
        crop = crop_of(mask)
        boxes.append([crop.x, crop.y, crop.x + crop.crop.shape[1], crop.y + crop.crop.shape[0]])
    logits = np.where(np.array(masks, dtype=np.bool_).reshape(-1, *size), 4.0, -4.0)
    return Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, len(masks)) if scores is None else torch.tensor(scores),
        mask_logits=torch.from_numpy(logits).float(),
        grid_to_image=GridTransform(1, 1, 0, 0),
        image_size=size,
    )


def num_colours(image: ImageArray) -> int:
    """Count the colours of an image (H, W, 3), packed to one number per pixel, which sorts far faster than three."""
    return len(np.unique(image.reshape(-1, 3).astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)))
