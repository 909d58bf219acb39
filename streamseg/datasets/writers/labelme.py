"""LabelMe: a JSON file with polygons beside each image in `images/`, and `labels.txt` with the labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamseg.datasets.polygons import mask_polygons
from streamseg.datasets.writers.base import Categories, ResultImage, object_numbers
from streamseg.structures.message import MessageObject

__all__ = ["LabelmeWriter"]

VERSION = "5.5.0"
"""Version of LabelMe whose format is written."""
MAX_NUMBER = 2**31 - 1


class LabelmeWriter:
    """Writes one polygon for each connected part; objects with an empty mask are omitted.

    Polygons of one object, and of one track, have the same `group_id`.

    Args:
        folder: the data set, an empty folder.
        categories: the labels.
    """

    image_folder = "images"
    index = "labels.txt"
    markers = ("__ignore__\n",)

    def __init__(self, folder: Path, categories: Categories) -> None:
        self._folder = folder
        self._categories = categories

    def label_file(self, stem: str) -> str:
        """Return the path of an image's label file, relative to the data set."""
        return f"images/{stem}.json"

    def add(self, image: ResultImage, objects: Sequence[MessageObject]) -> None:
        """Write the JSON of an image; see `DataSetWriter`."""
        shapes: list[dict[str, Any]] = []
        for one, number in zip(objects, object_numbers(objects, MAX_NUMBER), strict=True):
            self._categories.position(one.label)  # listed in labels.txt
            shapes += [
                {
                    "label": self._categories.name(one.label),
                    "points": polygon.tolist(),
                    "group_id": number,
                    "description": f"score {one.score:.4f}",
                    "shape_type": "polygon",
                    "flags": {},
                }
                for polygon in mask_polygons(one.mask)
            ]
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": image.file_name,
            "imageData": None,
            "imageHeight": image.size[0],
            "imageWidth": image.size[1],
        }
        path = self._folder / self.label_file(image.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    def finish(self) -> None:
        """Write `labels.txt`, for `labelme --labels`; raise OSError on failure."""
        lines = ["__ignore__", *self._categories]
        (self._folder / self.index).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
