"""Writing COCO-format folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamseg.errors import DataError, reason_of
from streamseg.rle import crop_to_coco
from streamseg.structures.mask import CropMask

__all__ = ["mask_entry", "new_folder", "write_instances"]


def mask_entry(mask: CropMask, size: tuple[int, int]) -> dict[str, Any]:
    """Return the geometric keys of an annotation, for a mask in an image of `size` (H, W)."""
    height, width = mask.crop.shape
    return {
        "segmentation": dict(crop_to_coco(mask, size)),
        "bbox": [mask.x, mask.y, width, height],
        "area": mask.area,
    }


def write_instances(folder: Path, content: dict[str, Any]) -> None:
    """Write `instances.json` atomically; raise OSError on failure."""
    partial = folder / "instances.json.partial"
    try:
        partial.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
        partial.replace(folder / "instances.json")
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Create a folder for the body of the `with` statement to write into.

    Raises:
        DataError: the folder exists and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; choose another folder to write into")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {reason_of(error)}") from error
