"""Features of one image on a grid of cells: the same surface has similar features in other frames.

Requires only NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from streamseg.structures.arrays import Float32Array
from streamseg.structures.grid import GridTransform

__all__ = ["FeatureMap", "FeatureSource", "halved"]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Features of one image, compared by their scalar product."""

    values: Float32Array
    """(H, W, C) for H x W cells, each of length 1."""
    to_image: GridTransform
    """Transform from the grid to the image. The grid covers the same area as the grid of the mask logits."""

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or not self.values.size:
            raise ValueError(f"features must have shape (H, W, C) of at least 1 each, got {self.values.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """Size (H, W) of the grid."""
        return self.values.shape[0], self.values.shape[1]

    @cached_property
    def coarser(self) -> FeatureMap:
        """The means of 2 x 2 cells each, of length 1 again; the last row and column of an odd grid are repeated."""
        values = halved(self.values)
        lengths = np.sqrt(np.einsum("hwc,hwc->hw", values, values))[..., None]
        to_image = self.to_image._replace(scale_x=2 * self.to_image.scale_x, scale_y=2 * self.to_image.scale_y)
        return FeatureMap(values / np.maximum(lengths, 1e-6), to_image)


class FeatureSource(Protocol):
    """Computes the features of one image, on first use."""

    def __call__(self) -> FeatureMap:
        """Return the features. Called only if something is followed, once per frame."""


def halved(grid: Float32Array) -> Float32Array:
    """Return the means (ceil(H / 2), ceil(W / 2), C) of 2 x 2 cells of a grid (H, W, C)."""
    height, width = grid.shape[:2]
    if height % 2 or width % 2:
        grid = np.pad(grid, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rows = grid[::2] + grid[1::2]  # whole rows first: they are contiguous
    means: Float32Array = rows[:, ::2] + rows[:, 1::2]
    means *= np.float32(0.25)
    return means
