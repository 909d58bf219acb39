"""Data sets as other programs read them: pycocotools and supervision."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.structures.arrays import MaskArray

__all__ = ["coco_masks", "supervision_data_set"]


def coco_masks(folder: Path) -> dict[str, list[MaskArray]]:
    """Return the masks of each image of a COCO-format folder, by file name, as pycocotools decodes them."""
    from pycocotools.coco import COCO

    coco = COCO(str(folder / "instances.json"))
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools with NumPy 2
        for image in coco.loadImgs(coco.getImgIds()):
            listed = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            found[image["file_name"]] = [coco.annToMask(one).astype(np.bool_) for one in listed]
    return found


def supervision_data_set(data_format: str, folder: Path) -> Any:
    """Return a data set as supervision's `DetectionDataset`."""
    from supervision import DetectionDataset

    if data_format == "coco":
        return DetectionDataset.from_coco(str(folder / "images"), str(folder / "instances.json"), force_masks=True)
    if data_format == "yolo":
        labels = str(folder / "labels/train"), str(folder / "data.yaml")
        return DetectionDataset.from_yolo(str(folder / "images/train"), *labels, force_masks=True)
    return DetectionDataset.from_labelme(str(folder / "images"), str(folder / "images"), force_masks=True)
