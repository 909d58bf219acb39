"""Tiles of a grid in which targets are searched for, and windows around them in other frames.

Only tiles near a target are computed. All cells of a tile share one window, so that the similarities of all tiles are
one batched matrix product.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streamseg.structures.arrays import Float32Array, Float64Array, IndexArray

__all__ = ["OUTSIDE_SIMILARITY", "TILE", "padded_size", "reach", "search_tiles", "windows"]

TILE: Final = 8
"""Cells per side of a tile. Smaller ones waste fewer cells around targets, and more of the windows, which overlap."""
OUTSIDE_SIMILARITY: Final = -4.0
"""Similarity of the cells outside of the grid: below that of any cell inside, so that they are never neighbours."""


def search_tiles(boxes: Float64Array, size: tuple[int, int]) -> tuple[IndexArray, IndexArray]:
    """Return the tiles that intersect at least one search region.

    Args:
        boxes: (T, 4) xyxy in cells, one region per target; may extend beyond the grid. T may be 0.
        size: (H, W) of the grid.

    Returns:
        The tiles (N, 2), row and column in tiles, and the target (N,) that owns each: of those whose region intersects
        the tile, the one whose centre is nearest, relative to the size of its region.
    """
    rows, columns = (np.arange(-(-length // TILE)) for length in size)
    top, left = rows[:, None] * TILE, columns[:, None] * TILE  # (Th, 1), (Tw, 1)
    x0, y0, x1, y1 = boxes.T
    down = (top < y1) & (np.minimum(top + TILE, size[0]) > y0)  # (Th, T)
    across = (left < x1) & (np.minimum(left + TILE, size[1]) > x0)  # (Tw, T)
    inside = down[:, None] & across[None]  # (Th, Tw, T)
    if not len(boxes):
        return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    far_y = (top + TILE / 2 - (y0 + y1) / 2) / np.maximum(y1 - y0, 1)  # (Th, T)
    far_x = (left + TILE / 2 - (x0 + x1) / 2) / np.maximum(x1 - x0, 1)  # (Tw, T)
    distances = np.where(inside, far_y[:, None] ** 2 + far_x[None] ** 2, np.inf)
    tiles = np.argwhere(inside.any(axis=2))
    owners: IndexArray = distances.argmin(axis=2)[tiles[:, 0], tiles[:, 1]]
    return tiles, owners


def padded_size(size: tuple[int, int], radius: int) -> tuple[int, int]:
    """Return the size (Hp, Wp) of a grid (H, W) that is extended to whole tiles, and by `radius` on each side."""
    return -(-size[0] // TILE) * TILE + 2 * radius, -(-size[1] // TILE) * TILE + 2 * radius


def windows(padded: tuple[int, int], tiles: IndexArray, shifts: IndexArray, radius: int) -> IndexArray:
    """Return the first row and column (..., 2) of each tile's window in a padded grid, moved inside if it leaves it.

    Args:
        padded: (H, W) of the padded grid.
        tiles: (N, 2), see `search_tiles`.
        shifts: (N, M, 2), rows and columns by which the window is displaced in each of M frames.
        radius: the window has TILE + 2 * radius cells per side.
    """
    limits = np.array(padded) - (TILE + 2 * radius)
    first: IndexArray = np.clip(tiles[:, None] * TILE + shifts, 0, limits)
    return first


def reach(radius: int) -> Float32Array:
    """Return what is added to the similarities (Q, L) of each cell of a tile and of its window.

    0 for cells within `radius` in both directions, else `OUTSIDE_SIMILARITY`: windows of whole tiles reach farther, and
    like cells far away are more often wrong than right.
    """
    inside, around = np.arange(TILE) + radius, np.arange(TILE + 2 * radius)
    is_near = np.abs(inside[:, None] - around) <= radius  # (TILE, S)
    both = is_near[:, None, :, None] & is_near[None, :, None, :]  # (TILE, TILE, S, S)
    added: Float32Array = np.where(both, 0, OUTSIDE_SIMILARITY).astype(np.float32).reshape(TILE * TILE, -1)
    return added
