"""Regions in which the segmenter should search with a lower score threshold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamseg.structures.arrays import Float64Array

__all__ = ["NO_REGIONS", "SearchRegions"]


def _no_boxes() -> Float64Array:
    return np.zeros((0, 4))


def _no_points() -> Float64Array:
    return np.zeros((0, 2))


@dataclass(frozen=True, eq=False)
class SearchRegions:
    """Boxes and points in one image around which low scores are accepted."""

    prompted: Float64Array = field(default_factory=_no_boxes)
    """(P, 4) xyxy, pixels of the image: boxes that contain one object each, drawn by a user. P may be 0."""
    expected: Float64Array = field(default_factory=_no_boxes)
    """(E, 4) xyxy, pixels of the image: predicted boxes of objects seen before. E may be 0."""
    points: Float64Array = field(default_factory=_no_points)
    """(N, 2) x, y, pixels of the image: new points inside one object each, given by a user. N may be 0."""

    followed: Float64Array = field(default_factory=_no_boxes)
    """(F, 4) xyxy, pixels of the image: boxes of the targets of prompts in the last frame, in the order in which they
    should be seen enlarged if they are small. F may be 0."""

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 2 or not np.isfinite(self.points).all():
            raise ValueError(f"points must be finite points of shape (N, 2), got shape {self.points.shape}")
        for name in ("prompted", "expected", "followed"):
            boxes = getattr(self, name)
            if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
                raise ValueError(f"{name} must be finite boxes of shape (N, 4), got shape {boxes.shape}")


NO_REGIONS = SearchRegions()
"""No search regions: scores below the threshold are discarded everywhere."""
