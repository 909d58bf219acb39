"""What somebody who knows more than one picture tells a segmenter about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["NO_REGIONS", "SearchRegions"]

Boxes = npt.NDArray[np.float64]


def _no_boxes() -> Boxes:
    return np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class SearchRegions:
    """Where to look in one picture, beyond what is found there anyway."""

    prompted: Boxes = field(default_factory=_no_boxes)
    """(P, 4) xyxy, pixels of the picture: boxes that each have an object in them, as a user says. P may be 0."""
    expected: Boxes = field(default_factory=_no_boxes)
    """(E, 4) xyxy, pixels of the picture: where objects are expected that were seen before. E may be 0."""

    def __post_init__(self) -> None:
        for name in ("prompted", "expected"):
            boxes = getattr(self, name)
            if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
                raise ValueError(f"{name} must be finite boxes of shape (N, 4), got shape {boxes.shape}")


NO_REGIONS = SearchRegions()
"""Nothing is known."""
