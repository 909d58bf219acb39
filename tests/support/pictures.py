"""Drawn pictures whose masks are known exactly, as labelled samples and as COCO-format folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask

from streamseg.datasets.folders import LabelledObject, Sample
from streamseg.structures.instances import GridTransform, Instances
from streamseg.structures.message import CropMask

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Entry = dict[str, Any]

BACKGROUND = (90, 90, 90)


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> Mask:
    """Pixels of a canvas (H, W) whose centres lie within a circle."""
    columns, rows = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def rectangle(size: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> Mask:
    """Pixels x0 to x1 - 1, y0 to y1 - 1 of a canvas (H, W)."""
    mask = np.zeros(size, dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def paint(masks: Sequence[Mask], colours: Sequence[tuple[int, int, int]], size: tuple[int, int]) -> Picture:
    """Each mask in its own colour on grey, the last on top."""
    image = np.full((*size, 3), BACKGROUND, dtype=np.uint8)
    for mask, colour in zip(masks, colours, strict=True):
        image[mask] = colour
    return image


def crop_of(mask: Mask) -> CropMask:
    """A full mask in its tight box; (0, 0) where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(crop.copy(), int(columns[0]), int(rows[0]))


def labelled(mask: Mask, *, is_part: bool = False, is_crowd: bool = False) -> LabelledObject:
    """A labelled object of a full mask."""
    return LabelledObject(crop_of(mask), is_part=is_part, is_crowd=is_crowd)


def drawn_sample(seed: int = 0, size: tuple[int, int] = (96, 128), num_objects: int = 3) -> Sample:
    """A picture with discs and rectangles in bright colours; what is covered is not in the masks."""
    rng = np.random.default_rng(seed)
    height, width = size
    masks: list[Mask] = []
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
    """Samples from a list."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> Sample:
        return self._samples[index]


# ---- COCO-format folders


def compressed(mask: Mask) -> Entry:
    """COCO's compressed run lengths of a full mask."""
    runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode("ascii")}


def uncompressed(mask: Mask) -> Entry:
    """Run lengths of a full mask as a list, column by column, background first."""
    flat = mask.T.ravel().astype(np.int8)
    bounds = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": list(mask.shape), "counts": np.diff([0, *bounds, flat.size]).tolist()}


def coco_folder(
    folder: Path,
    pictures: Sequence[tuple[Picture, Sequence[Entry]]],
    *,
    images: Sequence[Entry] = (),
    edit: Callable[[Entry], None] = lambda content: None,
) -> Path:
    """Write a COCO-format folder of lossless pictures.

    Args:
        folder: made if need be.
        pictures: each with its annotations, of which `segmentation` is needed; ids count from 1.
        images: keys to add to the entries of the pictures.
        edit: changes the content of the JSON before it is written, to break it.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    content: Entry = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    for number, (image, labels) in enumerate(pictures, start=1):
        name = f"{number:03}.png"
        assert cv2.imwrite(str(folder / "images" / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        entry = {"id": number, "file_name": name, "height": image.shape[0], "width": image.shape[1]}
        content["images"].append(entry | (images[number - 1] if images else {}))
        for annotation in labels:
            identity = len(content["annotations"]) + 1
            content["annotations"].append({"id": identity, "image_id": number, "category_id": 1} | annotation)
    edit(content)
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def exact_instances(
    masks: Sequence[Mask], scores: Sequence[float] | None = None, *, size: tuple[int, int]
) -> Instances:
    """Instances whose masks, at full size, and tight boxes are exactly these; scores fall unless given."""
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


def num_colours(picture: Picture) -> int:
    """How many colours a picture (H, W, 3) has; told by one number per pixel, which sorts far faster than three."""
    return len(np.unique(picture.reshape(-1, 3).astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)))
