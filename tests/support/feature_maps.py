"""Feature maps and masks on grids, for tests of label propagation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamseg.structures.feature_map import FeatureMap
from streamseg.structures.grid import GridTransform

TO_IMAGE = GridTransform(8.0, 8.0, 0.0, 0.0)


def distinct_features(size: tuple[int, int] = (24, 40), *, channels: int = 32, seed: int = 0) -> FeatureMap:
    """Return random unit vectors (H, W, C): no two cells are similar, as on a surface full of texture."""
    values = np.random.default_rng(seed).normal(size=(*size, channels)).astype(np.float32)
    return FeatureMap(values / np.linalg.norm(values, axis=2, keepdims=True), TO_IMAGE)


def moved(features: FeatureMap, down: int, right: int, *, seed: int = 1) -> FeatureMap:
    """Return the features of the same scene, displaced by cells; new cells enter at the border."""
    new = distinct_features(features.size, channels=features.values.shape[2], seed=seed).values.copy()
    height, width = features.size
    rows, columns = np.mgrid[:height, :width]
    inside = (rows >= down) & (rows < height + down) & (columns >= right) & (columns < width + right)
    new[inside] = features.values[(rows - down)[inside], (columns - right)[inside]]
    return FeatureMap(new, features.to_image)


def rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (24, 40)) -> npt.NDArray[np.float32]:
    """Return a mask (H, W) of 1 inside a box of cells; parts outside of the grid are cut off."""
    mask = np.zeros(size, np.float32)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    return mask
