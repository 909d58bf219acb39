"""Appearance of objects for tracking: boxes with mask silhouettes inside, and their overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
_CENTRES = (np.arange(SILHOUETTE_SIZE) + 0.5) / SILHOUETTE_SIZE
"""(R,) centres of the tiles along a side, 0..1."""


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
        return Appearance(self.boxes + np.concatenate((offsets, offsets), axis=1), self.shapes)

    @cached_property
    def box_areas(self) -> Float64Array:
        """Areas of the boxes, (N,) px²."""
        return _areas(self.boxes)

    @cached_property
    def mask_areas(self) -> Float64Array:
        """Areas of the masks, (N,) px²."""
        return self.box_areas * _shares(self.shapes)


def box_overlaps(first: Float64Array, second: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return shared area (P,) in px² and IoU (P,) of box pairs (P, 4), (P, 4) xyxy; 0 for boxes without extent."""
    extent = np.maximum(np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2]), 0)
    intersection = extent[:, 0] * extent[:, 1]
    union = _areas(first) + _areas(second) - intersection
    return intersection, intersection / np.maximum(union, TINY_AREA)


def _areas(boxes: Float64Array) -> Float64Array:
    """Return the areas (N,) of boxes (N, 4) xyxy."""
    extent = boxes[:, 2:] - boxes[:, :2]
    areas: Float64Array = extent[:, 0] * extent[:, 1]
    return areas


def _shares(shapes: BoolArray) -> Float64Array:
    """Return the share (N,) of tiles that are set in shapes (N, R, R)."""
    # Eight tiles at once: sums of at most R * R / 8 = 32 per byte, which do not overflow.
    eighths = shapes.reshape(len(shapes), SILHOUETTE_SIZE**2).view(np.uint64).sum(axis=1)
    counts = eighths.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.intp)
    shares: Float64Array = counts / SILHOUETTE_SIZE**2
    return shares


def _tiles_under(tiles: Float64Array, boxes: Float64Array, framed: BoolArray, rows: IndexArray) -> BoolArray:
    """Return, for P pairs, which tiles of a box have their centre on the partner's mask: (P, R, R).

    Args:
        tiles: boxes (P, 4) whose tiles are looked up.
        boxes: boxes (P, 4) of the partners.
        framed: (N, R + 2, R + 2): masks with a frame of background.
        rows: (P,) the partners' rows in them.
    """
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], TINY_AREA)
    # Tile of the partner's box under each centre, per axis: (P, 2, R); 0 and R + 1 are outside.
    own_extent = tiles[:, 2:] - tiles[:, :2]
    place = (tiles[:, :2] - boxes[:, :2])[:, :, None] + own_extent[:, :, None] * _CENTRES
    places = np.floor(place * (SILHOUETTE_SIZE / extent)[:, :, None]) + 1
    indices = np.minimum(np.maximum(places, 0), SILHOUETTE_SIZE + 1).astype(np.intp)
    side = SILHOUETTE_SIZE + 2
    starts = rows[:, None] * side**2 + indices[:, 1] * side  # (P, R)
    under: BoolArray = framed.reshape(-1).take(starts[:, :, None] + indices[:, 0][:, None, :])
    return under


def mask_intersections(
    first: Appearance, second: Appearance, rows: IndexArray, columns: IndexArray, offsets: Float64Array | None = None
) -> Float64Array:
    """Return the area (P,) in px² shared by P pairs of masks, each placed in its box.

    The tiles of the smaller box are looked up in the larger one. A pair takes R x R look-ups, independent of the size
    of the objects, the image and the prototype grid.

    Args:
        first: N objects.
        second: M objects.
        rows: (P,) rows of the pairs in `first`.
        columns: (P,) their rows in `second`.
        offsets: (P, 2) x, y by which those of `first` are displaced; None: not at all.
    """
    boxes, others = first.boxes[rows], second.boxes[columns]
    if offsets is not None:
        boxes = boxes + np.concatenate((offsets, offsets), axis=1)
    areas, other_areas = _areas(boxes), _areas(others)
    swap = areas > other_areas
    # The shapes of both, one after the other, so that each pair needs indices only.
    shapes = np.concatenate((first.shapes, second.shapes))
    framed = np.zeros((len(shapes), SILHOUETTE_SIZE + 2, SILHOUETTE_SIZE + 2), dtype=np.bool_)
    framed[:, 1:-1, 1:-1] = shapes
    columns = columns + len(first)
    small, large = np.where(swap, columns, rows), np.where(swap, rows, columns)
    small_boxes = np.where(swap[:, None], others, boxes)
    large_boxes = np.where(swap[:, None], boxes, others)
    shared = _shares(_tiles_under(small_boxes, large_boxes, framed, large) & shapes[small])
    return shared * np.where(swap, other_areas, areas)


def mask_ious(first: Appearance, second: Appearance, least: float) -> Float64Array:
    """Return the IoU (N, M) of masks, each placed in its box; 0 for pairs that cannot reach `least`."""
    areas, other_areas = first.mask_areas, second.mask_areas
    low = np.maximum(first.boxes[:, None, :2], second.boxes[None, :, :2])
    high = np.minimum(first.boxes[:, None, 2:], second.boxes[None, :, 2:])
    extent = np.maximum(high - low, 0)
    shared = extent[..., 0] * extent[..., 1]
    smaller, larger = np.minimum.outer(areas, other_areas), np.maximum.outer(areas, other_areas)
    # Masks share no more than their boxes, and their union is at least the larger one.
    rows, columns = np.nonzero(np.minimum(shared, smaller) >= np.maximum(least * larger, TINY_AREA))
    intersections = mask_intersections(first, second, rows, columns)
    ious = np.zeros((len(first), len(second)))
    ious[rows, columns] = intersections / np.maximum(areas[rows] + other_areas[columns] - intersections, TINY_AREA)
    return ious
