"""Masks: one PNG of 16 bits per image in `masks/` whose values are object numbers, and `objects.csv`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from streamseg.datasets.writers.base import Categories, ResultImage, object_numbers
from streamseg.structures.message import MessageObject

__all__ = ["MasksWriter"]

COLUMNS = ("mask", "image", "number", "label", "score", "track_id", "x0", "y0", "x1", "y1", "area")
MAX_NUMBER = 2**16 - 1


class MasksWriter:
    """Writes label images: 0 is background, and each object has its number, the track id in videos.

    Where objects overlap, the pixel belongs to the one with the highest score; `area` counts the whole mask.

    Args:
        folder: the data set, an empty folder.
        categories: the labels.
    """

    image_folder = "images"
    index = "objects.csv"
    markers = (",".join(COLUMNS),)

    def __init__(self, folder: Path, categories: Categories) -> None:
        self._folder = folder
        self._categories = categories
        self._rows: list[tuple[object, ...]] = []

    def label_file(self, stem: str) -> str:
        """Return the path of an image's label file, relative to the data set."""
        return f"masks/{stem}.png"

    def add(self, image: ResultImage, objects: Sequence[MessageObject]) -> None:
        """Write the PNG of an image; see `DataSetWriter`."""
        numbers = object_numbers(objects, MAX_NUMBER)
        canvas = np.zeros(image.size, dtype=np.uint16)
        for row in sorted(range(len(objects)), key=lambda row: objects[row].score):
            mask = objects[row].mask
            height, width = mask.crop.shape
            canvas[mask.y : mask.y + height, mask.x : mask.x + width][mask.crop] = numbers[row]
        path = self._folder / self.label_file(image.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        _, encoded = cv2.imencode(".png", canvas)
        path.write_bytes(encoded.tobytes())
        for one, number in zip(objects, numbers, strict=True):
            box = (round(value, 2) for value in one.box)
            label = self._categories.name(one.label)
            self._rows.append(
                (path.name, image.file_name, number, label, round(one.score, 4), one.track_id, *box, one.area)
            )

    def finish(self) -> None:
        """Write `objects.csv`; raise OSError on failure."""
        with (self._folder / self.index).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            rows.writerows(self._rows)
