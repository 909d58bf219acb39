"""YOLO: `data.yaml`, `train.txt`, `images/train/` and `labels/train/`; read by `datasets.yolo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from streamseg.datasets.polygons import joined, mask_polygons
from streamseg.datasets.writers.base import DESCRIPTION, Categories, ResultImage
from streamseg.structures.message import MessageObject

__all__ = ["YoloWriter"]


class YoloWriter:
    """Writes one polygon line per object; scores and track ids are lost, and objects with an empty mask are omitted.

    The parts of an object are connected by seams of width zero, because a line holds a single polygon.

    Args:
        folder: the data set, an empty folder.
        categories: class names; class numbers are positions from 0.
    """

    image_folder = "images/train"
    index = "data.yaml"
    markers = (f"# {DESCRIPTION}",)

    def __init__(self, folder: Path, categories: Categories) -> None:
        self._folder = folder
        self._categories = categories
        self._images: list[str] = []

    def label_file(self, stem: str) -> str:
        """Return the path of an image's label file, relative to the data set."""
        return f"labels/train/{stem}.txt"

    def add(self, image: ResultImage, objects: Sequence[MessageObject]) -> None:
        """Write the label file of an image; see `DataSetWriter`."""
        height, width = image.size
        lines = []
        for one in objects:
            polygons = mask_polygons(one.mask)
            if polygons:
                fractions = (joined(polygons) / (width, height)).ravel().tolist()
                values = " ".join(f"{value:.6f}" for value in fractions)
                lines.append(f"{self._categories.position(one.label)} {values}\n")
        path = self._folder / self.label_file(image.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
        self._images.append(f"./{self.image_folder}/{image.file_name}\n")

    def finish(self) -> None:
        """Write `train.txt` and `data.yaml`; raise OSError on failure."""
        (self._folder / "train.txt").write_text("".join(self._images), encoding="utf-8")
        names = yaml.safe_dump({"names": dict(enumerate(self._categories))}, allow_unicode=True)
        head = f"# {DESCRIPTION}; val are the same images, because other programs need the key\n"
        (self._folder / self.index).write_text(f"{head}train: train.txt\nval: train.txt\n{names}", encoding="utf-8")
