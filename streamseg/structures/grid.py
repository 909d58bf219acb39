"""Transforms from grids of cells to images."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["STRIDE_4", "GridTransform"]


class GridTransform(NamedTuple):
    """Transform from continuous prototype-grid coordinates to continuous image coordinates, per axis.

    `x_image = scale_x * x_grid + offset_x`, likewise y. Coordinates are continuous: the centre of pixel (or cell) 0
    is at 0.5. The offset accounts for letterbox padding, to sub-pixel accuracy.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


STRIDE_4 = GridTransform(4.0, 4.0, 0.0, 0.0)
"""Prototype grid of an unpadded, unscaled image."""
