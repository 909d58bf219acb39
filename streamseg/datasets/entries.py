"""Images and annotations as listed in a data set, without decoded pixels or masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Annotation", "LabelledImage"]


@dataclass(frozen=True, eq=False)
class Annotation:
    """One labelled object in an image."""

    name: str
    """Identifies the annotation in error messages."""
    segmentation: Any
    """Polygons or run lengths as in the file; checked when the mask is built."""
    label: str
    """Category name; "object" if the file has none."""
    is_part: bool
    """Part of another labelled object, such as a shirt on a person."""
    is_crowd: bool
    """Region with many objects that are not labelled one by one."""
    area: float | None
    """Pixels, as stated in the file; None if absent."""
    box: tuple[float, float, float, float] | None
    """(x, y, width, height) in pixels, as stated in the file; None if absent."""
    id: str | None = None
    """Id in the file, as text; None if absent."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One entry of a folder, without decoded pixels or masks."""

    path: Path
    size: tuple[int, int]
    """(H, W) as stated in the file."""
    source: str | None
    annotations: tuple[Annotation, ...]
    """Annotations in the order of the file; may be empty."""
    list_file: Path
    """File that lists the image."""
    id: int | str | None = None
    """Id in the file; None if the format has none."""
    is_partly_labelled: bool = False
    """Only some of the objects are labelled, so that nothing outside the labels is known to be background."""
