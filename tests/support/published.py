"""COCO, LVIS and BSDS500 with a few drawn images, in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from tests.support.datasets import coco_folder, compressed
from tests.support.images import disc, paint, rectangle

SIZE = (64, 96)
MASKS = [disc(SIZE, 30, 30, 18), rectangle(SIZE, 55, 10, 90, 50)]
IMAGE = paint(MASKS, [(200, 9, 9), (9, 200, 9)], SIZE)
OUTLINE = cv2.Canny(IMAGE, 50, 100) > 0


def published(root: Path) -> Path:
    """Write `coco/`, `lvis/` and `bsds/` with three images each, of 64 x 96 pixels."""
    labels = [{"segmentation": compressed(mask), "iscrowd": 0} for mask in MASKS]
    drawn = coco_folder(root / "drawn", [(IMAGE, labels)] * 3)
    content = json.loads((drawn / "instances.json").read_text())
    (root / "coco" / "annotations").mkdir(parents=True)
    (root / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    (drawn / "images").rename(root / "coco" / "val2017")
    for entry in content["images"]:
        entry["coco_url"] = f"http://images.cocodataset.org/val2017/{entry.pop('file_name')}"
    for entry in content["annotations"]:
        entry.pop("iscrowd", None)
    (root / "lvis").mkdir()
    (root / "lvis" / "lvis_v1_val.json").write_text(json.dumps(content))
    bsds = root / "bsds"
    (bsds / "images" / "test").mkdir(parents=True)
    (bsds / "groundTruth" / "test").mkdir(parents=True)
    for name in ("100", "200", "300"):
        cv2.imwrite(str(bsds / "images" / "test" / f"{name}.jpg"), IMAGE[:, :, ::-1])
        drawings = np.empty((1, 2), dtype=object)
        for annotator in range(2):
            drawings[0, annotator] = {"Boundaries": OUTLINE.astype(np.uint8), "Segmentation": np.ones(SIZE, np.uint16)}
        savemat(bsds / "groundTruth" / "test" / f"{name}.mat", {"groundTruth": drawings})
    return root
