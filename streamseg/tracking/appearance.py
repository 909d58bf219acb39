"""Appearance of objects for tracking: boxes with mask silhouettes inside, and their overlaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamseg.geometry import silhouettes
from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask_samples import SILHOUETTE_TILES

__all__ = ["SILHOUETTE_SIZE", "TINY_AREA", "Appearance", "box_overlaps", "mask_intersections", "mask_ious"]

SILHOUETTE_SIZE = SILHOUETTE_TILES
"""Tiles per side of a silhouette. A tile is 6 % of an object's extent, finer than the accuracy of boxes."""
TINY_AREA = 1e-9
"""Lower bound of divisors in px², which keeps divisions by empty areas finite."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """Boxes of N objects and the masks inside them."""

    boxes: Float64Array
    """(N, 4) xyxy in pixels; may extend beyond the image."""
    shapes: BoolArray
    """(N, R, R), R = `SILHOUETTE_SIZE`: the mask inside its box, scaled to a fixed size."""

    @classmethod
    def of(cls, instances: Instances) -> Appearance:
        """Return the appearance of `instances`; only R x R values of each mask leave their device."""
        boxes = instances.boxes.cpu().numpy().astype(np.float64)
        return cls(boxes, silhouettes(instances, SILHOUETTE_SIZE).cpu().numpy())

    @classmethod
    def empty(cls) -> Appearance:
        """Return the appearance of no objects."""
        return cls(np.zeros((0, 4)), np.zeros((0, SILHOUETTE_SIZE, SILHOUETTE_SIZE), dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: IndexArray | BoolArray) -> Appearance:
        """Return the selected objects."""
        return Appearance(self.boxes[rows], self.shapes[rows])

    def __add__(self, other: Appearance) -> Appearance:
        """Concatenate the objects of both."""
        return Appearance(np.concatenate((self.boxes, other.boxes)), np.concatenate((self.shapes, other.shapes)))

    def moved(self, offsets: Float64Array) -> Appearance:
        """Return a copy with each object shifted by its row of `offsets` (N, 2) x, y."""
        return Appearance(self.boxes + np.tile(offsets, 2), self.shapes)

    @property
    def box_areas(self) -> Float64Array:
        """Areas of the boxes, (N,) px²."""
        areas: Float64Array = (self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1)
        return areas

    @property
    def mask_areas(self) -> Float64Array:
        """Areas of the masks, (N,) px²."""
        areas: Float64Array = self.box_areas * self.shapes.mean(axis=(1, 2))
        return areas


def box_overlaps(first: Float64Array, second: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return shared area (P,) in px² and IoU (P,) of box pairs (P, 4), (P, 4) xyxy; 0 for boxes without extent."""
    extent = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    intersection = extent.clip(min=0).prod(axis=1)
    union = (first[:, 2:] - first[:, :2]).prod(axis=1) + (second[:, 2:] - second[:, :2]).prod(axis=1) - intersection
    return intersection, intersection / np.maximum(union, TINY_AREA)


def _tiles_under(tiles: Appearance, masks: Appearance) -> BoolArray:
    """Return, for P pairs, which tiles of a box have their centre on the partner's mask: (P, R, R)."""
    count = len(tiles)
    extent = np.maximum(masks.boxes[:, 2:] - masks.boxes[:, :2], TINY_AREA)
    # Tile of the partner's box under each centre, per axis: (P, 2, R); 0 and R + 1 are outside.
    centres = (np.arange(SILHOUETTE_SIZE) + 0.5) / SILHOUETTE_SIZE
    own_extent = tiles.boxes[:, 2:] - tiles.boxes[:, :2]
    place = (tiles.boxes[:, :2] - masks.boxes[:, :2])[:, :, None] + own_extent[:, :, None] * centres
    indices = np.clip(np.floor(place * (SILHOUETTE_SIZE / extent)[:, :, None]) + 1, 0, SILHOUETTE_SIZE + 1).astype(
        np.intp
    )
    framed = np.zeros((count, SILHOUETTE_SIZE + 2, SILHOUETTE_SIZE + 2), dtype=np.bool_)
    framed[:, 1:-1, 1:-1] = masks.shapes
    rows = np.arange(count)[:, None] * (SILHOUETTE_SIZE + 2) ** 2 + indices[:, 1] * (SILHOUETTE_SIZE + 2)  # (P, R)
    under: BoolArray = framed.reshape(-1).take(rows[:, :, None] + indices[:, 0][:, None, :])
    return under


def mask_intersections(first: Appearance, second: Appearance) -> Float64Array:
    """Return the area (P,) in px² shared by P pairs of masks, each placed in its box.

    The tiles of the smaller box are looked up in the larger one. A pair takes R x R look-ups, independent of the size
    of the objects, the image and the prototype grid.
    """
    swap = first.box_areas > second.box_areas
    small, large = _where(swap, second, first), _where(swap, first, second)
    shared = (_tiles_under(small, large) & small.shapes).mean(axis=(1, 2))
    intersections: Float64Array = shared * small.box_areas
    return intersections


def mask_ious(first: Appearance, second: Appearance, least: float) -> Float64Array:
    """Return the IoU (N, M) of masks, each placed in its box; 0 for pairs that cannot reach `least`."""
    areas, other_areas = first.mask_areas, second.mask_areas
    low = np.maximum(first.boxes[:, None, :2], second.boxes[None, :, :2])
    high = np.minimum(first.boxes[:, None, 2:], second.boxes[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    smaller, larger = np.minimum.outer(areas, other_areas), np.maximum.outer(areas, other_areas)
    # Masks share no more than their boxes, and their union is at least the larger one.
    rows, columns = np.nonzero(np.minimum(shared, smaller) >= np.maximum(least * larger, TINY_AREA))
    intersections = mask_intersections(first[rows], second[columns])
    ious = np.zeros((len(first), len(second)))
    ious[rows, columns] = intersections / np.maximum(areas[rows] + other_areas[columns] - intersections, TINY_AREA)
    return ious


def _where(condition: BoolArray, first: Appearance, second: Appearance) -> Appearance:
    """Select, per row (P,), the first object if the condition holds, else the second."""
    return Appearance(
        np.where(condition[:, None], first.boxes, second.boxes),
        np.where(condition[:, None, None], first.shapes, second.shapes),
    )
