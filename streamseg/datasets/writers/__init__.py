"""Writers of data sets in the formats of other programs.

base       the interface, and names and numbers of images, categories and objects
coco       COCO: run lengths in one JSON file
yolo       YOLO: polygons in one text file per image, and `data.yaml`
labelme    LabelMe: polygons in one JSON file per image
masks      one PNG of object numbers per image
"""

from __future__ import annotations

from pathlib import Path

from streamseg.datasets.formats import Format
from streamseg.datasets.writers.base import (
    Categories,
    DataSetWriter,
    ResultImage,
    image_ids,
    image_objects,
    unique_stems,
)
from streamseg.datasets.writers.coco import CocoWriter
from streamseg.datasets.writers.labelme import LabelmeWriter
from streamseg.datasets.writers.masks import MasksWriter
from streamseg.datasets.writers.yolo import YoloWriter

__all__ = [
    "Categories",
    "DataSetWriter",
    "ResultImage",
    "image_ids",
    "image_objects",
    "open_writer",
    "unique_stems",
]


def open_writer(
    name: Format, folder: Path, categories: Categories, *, video: str | None, version: str
) -> DataSetWriter:
    """Return a writer into an empty folder.

    Args:
        name: the format.
        folder: the data set.
        categories: names known in advance; further labels are added.
        video: file name of the video whose frames the images are; None for separate images.
        version: version of this program.
    """
    if name == "coco":
        return CocoWriter(folder, categories, video=video, version=version)
    if name == "yolo":
        return YoloWriter(folder, categories)
    return LabelmeWriter(folder, categories) if name == "labelme" else MasksWriter(folder, categories)
