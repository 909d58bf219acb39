"""Outlines of masks as polygons, in continuous pixels: (0, 0) is the outer corner of the top left pixel.

Outlines follow the edges of pixels, not their centres, so that a rectangle of pixels is its own outline and no mask
shrinks by half a pixel on each side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.arrays import Float64Array
from streamseg.structures.mask import CropMask

__all__ = ["TOLERANCE_PX", "joined", "mask_polygons"]

TOLERANCE_PX = 0.5
"""Maximum distance of a mask's outline, a staircase of pixel edges, from its simplified polygon."""

MIN_POINTS = 3


def mask_polygons(mask: CropMask, *, tolerance: float = TOLERANCE_PX) -> list[Float64Array]:
    """Return the outlines of a mask's connected parts, largest first, each (N, 2) xy with N >= 3; [] if it is empty.

    A part with holes is a single polygon: seams of width zero connect the holes with the outline, so that both the
    even-odd and the non-zero rule leave them out. Parts are connected over corners.

    Args:
        mask: the mask.
        tolerance: maximum distance of the outline from the simplified polygon, in pixels; 0 to keep every corner.
    """
    if not mask.crop.any():
        return []
    found, levels = cv2.findContours(_corner_grid(mask), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours, hierarchy = [np.asarray(one, dtype=np.int32) for one in found], np.asarray(levels[0], dtype=np.int32)
    offset = np.array([mask.x, mask.y], dtype=np.float64)
    parts = []
    # A row of the hierarchy: next, previous, first child, parent. Without a parent, it is an outline; else a hole.
    for index, (_, _, child, parent) in enumerate(hierarchy):
        if parent < 0:
            rings = [_simplified(contours[one], tolerance) for one in (index, *_siblings(hierarchy, int(child)))]
            parts.append((float(cv2.contourArea(contours[index])), joined(rings) + offset))
    return [ring for _, ring in sorted(parts, key=lambda part: -part[0])]


def joined(rings: Sequence[Float64Array]) -> Float64Array:
    """Connect rings, each (N, 2), to a single one (M, 2) by seams of width zero between their nearest corners."""
    found = rings[0]
    for ring in rings[1:]:
        distances = np.square(found[:, None] - ring[None]).sum(axis=2)
        here, there = np.unravel_index(int(distances.argmin()), distances.shape)
        loop = np.roll(ring, -int(there), axis=0)
        found = np.concatenate([found[: here + 1], loop, loop[:1], found[here:]])
    return found


def _corner_grid(mask: CropMask) -> npt.NDArray[np.uint8]:
    """Return the mask on a grid with a point for each corner, edge and centre of pixels, (2h + 1, 2w + 1).

    Pixel (x, y) covers the points 2x to 2x + 2, 2y to 2y + 2. Its outline there is therefore the outline in pixels,
    times two.
    """
    height, width = mask.crop.shape
    grid = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.uint8)
    for row in range(3):
        for column in range(3):
            part = grid[row : row + 2 * height : 2, column : column + 2 * width : 2]
            part |= mask.crop
    return grid


def _siblings(hierarchy: npt.NDArray[np.int32], index: int) -> Iterator[int]:
    """Yield a contour and those after it at the same level; nothing for -1."""
    while index >= 0:
        yield index
        index = int(hierarchy[index][0])


def _simplified(contour: npt.NDArray[np.int32], tolerance: float) -> Float64Array:
    """Return a contour of the corner grid in pixels (N, 2), with fewer corners unless that would leave a line."""
    reduced = cv2.approxPolyDP(contour, 2 * tolerance, closed=True) if tolerance > 0 else contour
    points = reduced if len(reduced) >= MIN_POINTS and cv2.contourArea(reduced) > 0 else contour
    return np.asarray(points, dtype=np.float64).reshape(-1, 2) / 2
