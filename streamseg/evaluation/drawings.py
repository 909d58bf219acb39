"""Boundaries drawn by people, as PNG files: the ground truth of edges."""

from __future__ import annotations

import glob
from pathlib import Path

from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import DataError, SourceError
from streamseg.imaging import load_mask
from streamseg.structures.arrays import MaskArray

__all__ = ["drawing_paths", "has_drawings", "read_drawing"]


def drawing_paths(labelled: LabelledImage, folder: Path) -> list[Path]:
    """Return the drawings `gt/NAME_0.png`, `gt/NAME_1.png` … of an image; there may be none."""
    return sorted((folder / "gt").glob(f"{glob.escape(labelled.path.stem)}_*.png"))


def has_drawings(labelled: LabelledImage, folder: Path, problems: Problems) -> bool:
    """Return whether an image has drawings; if not, add it to `problems`."""
    if drawing_paths(labelled, folder):
        return True
    message = f"{folder / 'gt'} contains no drawing {labelled.path.stem}_0.png of {labelled.path.name}"
    problems.add(Problem("image", labelled.path, message, str(labelled.id)))
    return False


def read_drawing(path: Path, size: tuple[int, int]) -> MaskArray:
    """Return the boundary pixels of a drawing, bool (H, W).

    Raises:
        DataError: it is unreadable, or does not have the `size` (H, W) of its image.
    """
    try:
        drawing = load_mask(path)
    except SourceError as error:
        raise DataError(str(error)) from error
    if drawing.shape != size:
        found = f"{drawing.shape[1]}x{drawing.shape[0]}"
        raise DataError(f"{path} is {found}; the image is {size[1]}x{size[0]}, and its drawing must have that size")
    return drawing
