"""Regions in which the segmenter should search with a lower score threshold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamseg.structures.arrays import Float64Array

__all__ = ["NO_REGIONS", "SearchRegions"]


def _no_boxes() -> Float64Array:
    return np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class SearchRegions:
    """Boxes in one image around which low scores are accepted."""

    prompted: Float64Array = field(default_factory=_no_boxes)
    """(P, 4) xyxy, pixels of the image: boxes that contain one object each, drawn by a user. P may be 0."""
    expected: Float64Array = field(default_factory=_no_boxes)
    """(E, 4) xyxy, pixels of the image: predicted boxes of objects seen before. E may be 0."""

    def __post_init__(self) -> None:
        for name in ("prompted", "expected"):
            boxes = getattr(self, name)
            if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
                raise ValueError(f"{name} must be finite boxes of shape (N, 4), got shape {boxes.shape}")


NO_REGIONS = SearchRegions()
"""No search regions: scores below the threshold are discarded everywhere."""
