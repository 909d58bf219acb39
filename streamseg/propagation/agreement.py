"""Agreement of propagated masks with proposals: the instances that the network found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike

from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array
from streamseg.structures.instances import Instances

__all__ = ["Proposals"]

MIN_BOX_IOU: Final = 0.3
"""Minimum IoU of the boxes of two masks whose masks are compared."""


class Proposals:
    """The instances of one frame on the grid of their mask logits; each mask is computed once, on first use.

    Corrections by a refiner are left out: they move outlines by less than a cell of features.

    Args:
        instances: K objects on the host; K may be 0.
    """

    def __init__(self, instances: Instances) -> None:
        self._logits = instances.mask_logits
        self._to_image = instances.grid_to_image
        self._boxes = self.to_cells(instances.boxes.double().numpy())
        self._masks: dict[int, BoolArray] = {}
        self._areas: dict[int, int] = {}
        self.scores: list[float] = instances.scores.tolist()
        """Score of each row, 0..1."""

    @property
    def size(self) -> tuple[int, int]:
        """Size (Mh, Mw) of the grid."""
        return self._logits.shape[1], self._logits.shape[2]

    def to_cells(self, boxes: ArrayLike) -> Float64Array:
        """Return boxes (..., 4) xyxy of the image in cells of the grid."""
        scale_x, scale_y, offset_x, offset_y = self._to_image
        cells: Float64Array = (np.asarray(boxes) - [offset_x, offset_y] * 2) / ([scale_x, scale_y] * 2)
        return cells

    def mask(self, row: int) -> BoolArray:
        """Return the mask (Mh, Mw) of a row."""
        if row not in self._masks:
            height, width = self._logits.shape[1:]
            x0, y0, x1, y1 = self._boxes[row].tolist()
            x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
            inside = ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))
            self._masks[row] = (self._logits[row] > 0).numpy() & inside
            self._areas[row] = int(np.count_nonzero(self._masks[row]))
        return self._masks[row]

    def coverage(self, rows: Sequence[int], size: tuple[int, int]) -> Float32Array:
        """Return how much of each cell of a grid of `size` (H, W) the union of some masks covers, 0..1."""
        return _resized(self.union(rows).astype(np.float32), size)

    def best(self, soft: Float32Array) -> tuple[int, float]:
        """Return the row whose mask has the best IoU with a soft mask (H, W), and the IoU; -1 and 0 if none overlaps.

        Args:
            soft: 0..1 on a grid over the same area as the mask logits; a cell is inside above 0.5.
        """
        target = self._enlarged(soft)
        ious = self._ious(self.near(target), target)
        best = max(ious, key=lambda row: ious[row], default=-1)
        return (best, ious[best]) if best >= 0 and ious[best] > 0 else (-1, 0.0)

    def iou(self, row: int, soft: Float32Array) -> float:
        """Return the IoU of the mask of a row with a soft mask (H, W); 0 if both are empty."""
        return self._ious([row], self._enlarged(soft))[row]

    def _ious(self, rows: Sequence[int], target: BoolArray) -> dict[int, float]:
        """Return the IoU of the mask of each row with a mask (Mh, Mw); 0 if both are empty."""
        down, across = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
        if not len(down):
            return dict.fromkeys(rows, 0.0)
        # What they share lies in the box of the target: a fraction of the grid.
        window = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
        cut, area = target[window], int(np.count_nonzero(target))
        ious = {}
        for row in rows:
            shared = int(np.count_nonzero(self.mask(row)[window] & cut))
            ious[row] = shared / (self._areas[row] + area - shared)
        return ious

    def union(self, rows: Sequence[int]) -> BoolArray:
        """Return the union (Mh, Mw) of the masks of some rows."""
        union: BoolArray = np.zeros(self._logits.shape[1:], np.bool_)
        for row in rows:
            union |= self.mask(row)
        return union

    def _enlarged(self, soft: Float32Array) -> BoolArray:
        enlarged: BoolArray = _resized(soft, self.size) > 0.5
        return enlarged

    def near(self, target: BoolArray, *, min_iou: float = MIN_BOX_IOU) -> list[int]:
        """Return the rows whose boxes have an IoU above `min_iou` with the tight box of a mask (Mh, Mw)."""
        rows, columns = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
        if not len(rows):
            return []
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
        low, high = np.maximum(box[:2], self._boxes[:, :2]), np.minimum(box[2:], self._boxes[:, 2:])
        shared: Float64Array = np.maximum(high - low, 0).prod(axis=1)
        areas = (self._boxes[:, 2:] - self._boxes[:, :2]).prod(axis=1)
        union = (box[2:] - box[:2]).prod() + areas - shared
        return [int(row) for row in np.flatnonzero(shared > min_iou * union)]


def _resized(grid: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Resample a grid to another one of `size` (H, W) over the same area."""
    shrinks = size[0] < grid.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grid, (size[1], size[0]), interpolation=method), np.float32)
