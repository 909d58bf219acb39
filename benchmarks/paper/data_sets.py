"""COCO, LVIS and BSDS500 as their authors publish them, made into folders that the evaluation reads.

Each is a folder of its own for as long as it is used, with `instances.json` that names the images where they lie.
All that can be wrong with a data set is said before anything is measured on it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from streamseg.datasets.coco import annotation_mask, check_image_entry, read_annotation
from streamseg.errors import DataError

__all__ = ["bsds_folder", "coco_folder", "lvis_folder"]


@contextmanager
def coco_folder(coco: Path | None, limit: int | None) -> Iterator[Path]:
    """COCO val2017 of a folder with `val2017/` (or `images/val2017/`) and `annotations/`; the first images by id.

    Raises:
        DataError: it is not there, not whole, or broken.
    """
    root = _given(coco, "coco")
    with _annotated_folder(root / "annotations" / "instances_val2017.json", _pictures_of(root), limit) as folder:
        yield folder


@contextmanager
def lvis_folder(lvis: Path | None, coco: Path | None, limit: int | None) -> Iterator[Path]:
    """LVIS v1 val of a folder with `lvis_v1_val.json`, and COCO's images, which lie in train2017/ and val2017/.

    Raises:
        DataError: it is not there, not whole, or broken.
    """
    root, pictures = _given(lvis, "lvis"), _pictures_of(_given(coco, "coco"))
    with _annotated_folder(root / "lvis_v1_val.json", pictures, limit) as folder:
        yield folder


@contextmanager
def bsds_folder(bsds: Path | None, limit: int | None) -> Iterator[Path]:
    """BSDS500's test set, its drawings as PNG in `gt/`; one that has an `instances.json` already stays, and whole.

    Raises:
        DataError: it is not there, not whole, or broken.
    """
    given = _given(bsds, "bsds")
    if (given / "instances.json").is_file():
        yield given
        return
    inside = [given / part for part in (".", "data", "BSDS500/data", "BSR/BSDS500/data")]
    root = next((folder for folder in inside if (folder / "groundTruth" / "test").is_dir()), None)
    if root is None:
        raise DataError(f"{given} has no groundTruth/test/, nor has BSR/BSDS500/data in it")
    files = sorted((root / "groundTruth" / "test").glob("*.mat"))[:limit]
    if not files:
        raise DataError(f"{root / 'groundTruth' / 'test'} holds no .mat file")
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name)
        (prepared / "gt").mkdir()
        images: list[dict[str, Any]] = []
        for path in files:
            drawings = _drawings(path)
            for annotator, drawing in enumerate(drawings):
                cv2.imwrite(str(prepared / "gt" / f"{path.stem}_{annotator}.png"), drawing)
            height, width = drawings[0].shape
            picture = (root / "images" / "test" / f"{path.stem}.jpg").resolve()
            if not picture.is_file():
                raise DataError(f"image {image} is missing, though {path} has drawings of it")
            images.append({"id": len(images), "file_name": str(picture), "height": height, "width": width})
        _write(prepared, {"images": images, "annotations": []})
        yield prepared


def _drawings(path: Path) -> list[np.ndarray]:
    """What each annotator drew, uint8 (H, W), 255 on boundaries."""
    try:
        drawn = [drawing["Boundaries"][0, 0] for drawing in loadmat(path)["groundTruth"].flat]
    except (OSError, ValueError, KeyError, IndexError, TypeError, MatReadError) as error:
        raise DataError(f"{path} holds no drawings of BSDS500: {error}") from error
    if not drawn:
        raise DataError(f"{path} holds no drawing")
    return [(drawing > 0).astype(np.uint8) * 255 for drawing in drawn]


def _given(folder: Path | None, flag: str) -> Path:
    if folder is None:
        raise DataError(f"no --{flag} is given")
    if not folder.is_dir():
        raise DataError(f"--{flag} {folder} is no folder")
    return folder


def _pictures_of(coco: Path) -> Path:
    """Where val2017/ lies."""
    for folder in (coco, coco / "images"):
        if (folder / "val2017").is_dir():
            return folder
    raise DataError(f"{coco} has no val2017/, nor has images/ in it")


@contextmanager
def _annotated_folder(annotations: Path, pictures: Path, limit: int | None) -> Iterator[Path]:
    """The first images of a file of annotations; what it says of them that is no mask is left out, and told."""
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        images = sorted(content["images"], key=lambda image: image["id"])[:limit]
        # LVIS names COCO's address: …/train2017/000000000139.jpg
        folder_of = {image["id"]: Path(image.get("coco_url", "val2017/-")).parent.name for image in images}
        for image in images:
            name = image.get("file_name") or image["coco_url"].rpartition("/")[2]
            image["file_name"] = str((pictures / folder_of[image["id"]] / name).resolve())
        sizes = {image["id"]: check_image_entry(image, f"{annotations}: image {image['id']}")[1] for image in images}
        entries, refusals = [], []
        for entry in content["annotations"]:
            if entry["image_id"] not in sizes:
                continue
            try:
                annotation_mask(read_annotation(entry, annotations, {}), sizes[entry["image_id"]])
                entries.append(entry)
            except DataError as error:
                refusals.append(str(error))
        written = {"images": images, "annotations": entries, "categories": content["categories"]}
    except OSError as error:
        raise DataError(f"cannot read {annotations}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{annotations} is not valid JSON: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{annotations} is not in COCO format: {type(error).__name__} {error}") from error
    missing = [image["file_name"] for image in images if not Path(image["file_name"]).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(images)} images of {annotations} are missing, such as {missing[0]}"
        )
    if refusals:
        print(f"{annotations.name}: {len(refusals)} annotations left out, such as {refusals[0]}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        _write(Path(name), written)
        yield Path(name)


def _write(folder: Path, content: dict[str, Any]) -> None:
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
