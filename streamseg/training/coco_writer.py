"""COCO-format folders as this program writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamseg.errors import DataError
from streamseg.rle import crop_to_coco
from streamseg.structures.message import CropMask

__all__ = ["mask_entry", "write_instances", "writing"]


def mask_entry(mask: CropMask, size: tuple[int, int]) -> dict[str, Any]:
    """The keys of an annotation that say where it is, for a mask in a picture of `size` (H, W)."""
    height, width = mask.crop.shape
    return {
        "segmentation": dict(crop_to_coco(mask, size)),
        "bbox": [mask.x, mask.y, width, height],
        "area": mask.area,
    }


def write_instances(folder: Path, content: dict[str, Any]) -> None:
    """Write `instances.json`, all of it or nothing; raises OSError where that fails."""
    partial = folder / "instances.json.partial"
    try:
        partial.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
        partial.replace(folder / "instances.json")
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a folder for the block to write into.

    Raises:
        DataError: it is there already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; choose another folder to write into")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {error.strerror or error}") from error
