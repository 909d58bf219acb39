"""What objects look like to the tracker: boxes with the masks' silhouettes in them, and how much two share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamseg.geometry import silhouettes
from streamseg.structures.instances import Instances
from streamseg.tracking.motion import Floats

__all__ = ["RASTER", "TINY_AREA", "Appearance", "Bools", "Indices", "box_overlaps", "mask_intersections"]

Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

RASTER = 16
"""Tiles per side of a silhouette: 6 % of an object's extent, finer than boxes are placed."""
TINY_AREA = 1e-9
"""Keeps a division by the area of nothing finite, in px²."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """Boxes of N objects and the masks in them."""

    boxes: Floats
    """(N, 4) xyxy in pixels; may reach beyond the picture."""
    shapes: Bools
    """(N, R, R), R = `RASTER`: the mask inside its box, whatever its size."""

    @classmethod
    def of(cls, instances: Instances) -> Appearance:
        """The appearance of `instances`; only R x R values of each mask leave their device."""
        boxes = instances.boxes.cpu().numpy().astype(np.float64)
        return cls(boxes, silhouettes(instances, RASTER).cpu().numpy())

    @classmethod
    def empty(cls) -> Appearance:
        """Of no object."""
        return cls(np.zeros((0, 4)), np.zeros((0, RASTER, RASTER), dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Indices | Bools) -> Appearance:
        """The chosen objects."""
        return Appearance(self.boxes[rows], self.shapes[rows])

    def __add__(self, other: Appearance) -> Appearance:
        """Both, one after the other."""
        return Appearance(np.concatenate((self.boxes, other.boxes)), np.concatenate((self.shapes, other.shapes)))

    def moved(self, offsets: Floats) -> Appearance:
        """The same, each shifted by its row of (N, 2) x, y."""
        return Appearance(self.boxes + np.tile(offsets, 2), self.shapes)

    @property
    def box_areas(self) -> Floats:
        """(N,) px²."""
        areas: Floats = (self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1)
        return areas

    @property
    def mask_areas(self) -> Floats:
        """(N,) px²."""
        areas: Floats = self.box_areas * self.shapes.mean(axis=(1, 2))
        return areas


def box_overlaps(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Shared area (P,) in px² and IoU (P,) of boxes (P, 4) and (P, 4) xyxy, one to one; 0 for no extent."""
    extent = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    intersection = extent.clip(min=0).prod(axis=1)
    union = (first[:, 2:] - first[:, :2]).prod(axis=1) + (second[:, 2:] - second[:, :2]).prod(axis=1) - intersection
    return intersection, intersection / np.maximum(union, TINY_AREA)


def _tiles_under(tiles: Appearance, masks: Appearance) -> Bools:
    """Which tiles of P boxes have their centre on the mask of their partner, one to one: (P, R, R)."""
    count = len(tiles)
    extent = np.maximum(masks.boxes[:, 2:] - masks.boxes[:, :2], TINY_AREA)
    # Tile of the partner's box under each centre, per axis: (P, 2, R); 0 and R + 1 are outside.
    centres = (np.arange(RASTER) + 0.5) / RASTER
    own_extent = tiles.boxes[:, 2:] - tiles.boxes[:, :2]
    place = (tiles.boxes[:, :2] - masks.boxes[:, :2])[:, :, None] + own_extent[:, :, None] * centres
    indices = np.clip(np.floor(place * (RASTER / extent)[:, :, None]) + 1, 0, RASTER + 1).astype(np.intp)
    framed = np.zeros((count, RASTER + 2, RASTER + 2), dtype=np.bool_)
    framed[:, 1:-1, 1:-1] = masks.shapes
    rows = np.arange(count)[:, None] * (RASTER + 2) ** 2 + indices[:, 1] * (RASTER + 2)  # (P, R)
    under: Bools = framed.reshape(-1).take(rows[:, :, None] + indices[:, 0][:, None, :])
    return under


def mask_intersections(first: Appearance, second: Appearance) -> Floats:
    """Area (P,) in px² that P masks share with P others, one to one, each placed in its box.

    The tiles of the smaller box are looked up in the larger one: R x R look-ups for a pair, whatever
    the size of the objects, of the picture or of the prototype grid.
    """
    swap = first.box_areas > second.box_areas
    small, large = _choose(swap, second, first), _choose(swap, first, second)
    shared = (_tiles_under(small, large) & small.shapes).mean(axis=(1, 2))
    intersections: Floats = shared * small.box_areas
    return intersections


def _choose(condition: Bools, first: Appearance, second: Appearance) -> Appearance:
    """Row by row (P,), the first where the condition holds, else the second."""
    return Appearance(
        np.where(condition[:, None], first.boxes, second.boxes),
        np.where(condition[:, None, None], first.shapes, second.shapes),
    )
