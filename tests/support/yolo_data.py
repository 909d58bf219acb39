"""YOLO data sets of drawn images, in the shape of coco8-seg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from streamseg.structures.arrays import ImageArray
from tests.support.images import paint, rectangle

__all__ = ["COCO8_YAML", "box_image", "yolo_data_set"]

COCO8_YAML = """\
# COCO8-seg data set: 4 images for training, 4 for validation
path: coco8-seg # dataset root dir
train: images/train # train images (relative to 'path') 4 images
val: images/val # val images (relative to 'path') 4 images
test: # test images (optional)

# Classes
names:
  0: person
  1: bicycle
  2: car

# Download script/URL (optional)
download: https://example.org/coco8-seg.zip
"""
"""The shape of the official file."""


def box_image(size: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> tuple[ImageArray, str]:
    """Return an image of `size` (H, W) with a rectangle in it, and its label line: a polygon of four points."""
    height, width = size
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    line = " ".join(["2", *(f"{x / width:.6f} {y / height:.6f}" for x, y in corners)])
    return paint([rectangle(size, x0, y0, x1, y1)], [(230, 30, 30)], size), line


def yolo_data_set(
    folder: Path, splits: Mapping[str, Sequence[tuple[ImageArray, str | None]]], yaml: str = COCO8_YAML
) -> Path:
    """Write `<folder>/coco8-seg.yaml` and `<folder>/coco8-seg/`.

    Args:
        folder: created if missing.
        splits: pixels of each image of a split, and the text of its label file; None for an image without one.
        yaml: text of the description.

    Returns:
        The path of the description.
    """
    for split, labelled in splits.items():
        for kind in ("images", "labels"):
            (folder / "coco8-seg" / kind / split).mkdir(parents=True, exist_ok=True)
        for number, (image, text) in enumerate(labelled, start=1):
            name = f"{number:012}"
            path = folder / "coco8-seg" / "images" / split / f"{name}.png"
            assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            if text is not None:
                labels = folder / "coco8-seg" / "labels" / split / f"{name}.txt"
                labels.write_text(text, encoding="utf-8")
    file = folder / "coco8-seg.yaml"
    file.write_text(yaml, encoding="utf-8")
    return file
