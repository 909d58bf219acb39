"""Convert COCO, LVIS and BSDS500, as published, to folders that the evaluation reads.

Each function yields a temporary folder with an `instances.json` that refers to the images at their original location.
A data set is validated completely before anything is measured on it.
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
    """Yield COCO val2017 from a folder with `val2017/` (or `images/val2017/`) and `annotations/`; first images by id.

    Raises:
        DataError: the data set is missing, incomplete or invalid.
    """
    root = _given(coco, "coco")
    with _annotated_folder(root / "annotations" / "instances_val2017.json", _image_root(root), limit) as folder:
        yield folder


@contextmanager
def lvis_folder(lvis: Path | None, coco: Path | None, limit: int | None) -> Iterator[Path]:
    """Yield LVIS v1 val from a folder with `lvis_v1_val.json`, with COCO's images in train2017/ and val2017/.

    Raises:
        DataError: the data set is missing, incomplete or invalid.
    """
    root, images = _given(lvis, "lvis"), _image_root(_given(coco, "coco"))
    with _annotated_folder(root / "lvis_v1_val.json", images, limit) as folder:
        yield folder


@contextmanager
def bsds_folder(bsds: Path | None, limit: int | None) -> Iterator[Path]:
    """Yield BSDS500's test set with drawings as PNG in `gt/`; a folder with an `instances.json` is used unchanged.

    Raises:
        DataError: the data set is missing, incomplete or invalid.
    """
    given = _given(bsds, "bsds")
    if (given / "instances.json").is_file():
        yield given
        return
    inside = [given / part for part in (".", "data", "BSDS500/data", "BSR/BSDS500/data")]
    root = next((folder for folder in inside if (folder / "groundTruth" / "test").is_dir()), None)
    if root is None:
        raise DataError(f"{given} contains neither groundTruth/test/ nor BSR/BSDS500/data")
    files = sorted((root / "groundTruth" / "test").glob("*.mat"))[:limit]
    if not files:
        raise DataError(f"{root / 'groundTruth' / 'test'} contains no .mat file")
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name)
        (prepared / "gt").mkdir()
        images: list[dict[str, Any]] = []
        for path in files:
            drawings = _drawings(path)
            for annotator, drawing in enumerate(drawings):
                cv2.imwrite(str(prepared / "gt" / f"{path.stem}_{annotator}.png"), drawing)
            height, width = drawings[0].shape
            image_path = (root / "images" / "test" / f"{path.stem}.jpg").resolve()
            if not image_path.is_file():
                raise DataError(f"image {image_path} is missing, though {path} has drawings of it")
            images.append({"id": len(images), "file_name": str(image_path), "height": height, "width": width})
        _write(prepared, {"images": images, "annotations": []})
        yield prepared


def _drawings(path: Path) -> list[np.ndarray]:
    """Read the drawing of each annotator, uint8 (H, W), 255 on boundaries."""
    try:
        drawn = [drawing["Boundaries"][0, 0] for drawing in loadmat(path)["groundTruth"].flat]
    except (OSError, ValueError, KeyError, IndexError, TypeError, MatReadError) as error:
        raise DataError(f"{path} contains no BSDS500 drawings: {error}") from error
    if not drawn:
        raise DataError(f"{path} contains no drawing")
    return [(drawing > 0).astype(np.uint8) * 255 for drawing in drawn]


def _given(folder: Path | None, flag: str) -> Path:
    if folder is None:
        raise DataError(f"--{flag} is not set")
    if not folder.is_dir():
        raise DataError(f"--{flag} {folder} is not a folder")
    return folder


def _image_root(coco: Path) -> Path:
    """Return the folder that contains val2017/."""
    for folder in (coco, coco / "images"):
        if (folder / "val2017").is_dir():
            return folder
    raise DataError(f"{coco} contains neither val2017/ nor images/val2017/")


@contextmanager
def _annotated_folder(annotations: Path, image_root: Path, limit: int | None) -> Iterator[Path]:
    """Yield a folder of the first images of an annotation file; skip annotations that are no masks and report them."""
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        images = sorted(content["images"], key=lambda image: image["id"])[:limit]
        # LVIS gives the COCO URL: …/train2017/000000000139.jpg
        folder_of = {image["id"]: Path(image.get("coco_url", "val2017/-")).parent.name for image in images}
        for image in images:
            name = image.get("file_name") or image["coco_url"].rpartition("/")[2]
            image["file_name"] = str((image_root / folder_of[image["id"]] / name).resolve())
        sizes = {image["id"]: check_image_entry(image, f"{annotations}: image {image['id']}")[1] for image in images}
        entries, errors = [], []
        for entry in content["annotations"]:
            if entry["image_id"] not in sizes:
                continue
            try:
                annotation_mask(read_annotation(entry, annotations, {}), sizes[entry["image_id"]])
                entries.append(entry)
            except DataError as error:
                errors.append(str(error))
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
    if errors:
        print(f"{annotations.name}: {len(errors)} annotations skipped, such as {errors[0]}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        _write(Path(name), written)
        yield Path(name)


def _write(folder: Path, content: dict[str, Any]) -> None:
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
