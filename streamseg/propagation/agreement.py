"""Agreement of propagated masks with proposals: the instances that the network found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike

from streamseg.propagation.extent import extents
from streamseg.propagation.pixels import enlarged
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array
from streamseg.structures.feature_map import halved
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
        self._logits = instances.mask_logits.numpy()
        self._to_image = instances.grid_to_image
        self._boxes = self.to_cells(instances.boxes.double().numpy())
        self._crops: dict[int, _Crop] = {}
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
        """Return the mask (Mh, Mw) of a row: positive logits at cell centres in its box."""
        mask: BoolArray = np.zeros(self.size, np.bool_)
        crop = self._crop(row)
        mask[crop.window] = crop.inside
        return mask

    def coverage(self, rows: Sequence[int], size: tuple[int, int]) -> Float32Array:
        """Return how much of each cell of a grid of `size` (H, W) the union of some masks covers, 0..1."""
        if self.size != (2 * size[0], 2 * size[1]) or len(rows) != 1:
            return _resized(self.union(rows).astype(np.float32), size)
        # The usual case, in the window of the mask alone.
        shares = np.zeros(size, np.float32)
        crop = self._crop(rows[0])
        down, across = crop.window
        top, left, bottom, right = down.start // 2, across.start // 2, -(-down.stop // 2), -(-across.stop // 2)
        cells = np.zeros((2 * (bottom - top), 2 * (right - left)), np.float32)
        within = (
            slice(down.start - 2 * top, down.stop - 2 * top),
            slice(across.start - 2 * left, across.stop - 2 * left),
        )
        cells[within] = crop.inside
        shares[top:bottom, left:right] = halved(cells[..., None])[..., 0]
        return shares

    def best(self, soft: Float32Array) -> tuple[int, float]:
        """Return the row whose mask has the best IoU with a soft mask (H, W), and the IoU; -1 and 0 if none overlaps.

        Args:
            soft: 0..1 on a grid over the same area as the mask logits; a cell is inside above 0.5.
        """
        return self._best(_Crop.of(self._enlarged(soft)))

    def _best(self, target: _Crop) -> tuple[int, float]:
        ious = {row: self._crop(row).iou(target) for row in self._near(target.window, MIN_BOX_IOU)}
        best = max(ious, key=lambda row: ious[row], default=-1)
        return (best, ious[best]) if best >= 0 and ious[best] > 0 else (-1, 0.0)

    def best_each(self, softs: Mapping[str, Float32Array]) -> dict[str, tuple[int, float]]:
        """Return the result of `best` for each soft mask (H, W) by target; together they take a third of the time."""
        if not softs:
            return {}
        inside = np.moveaxis(enlarged(np.stack(list(softs.values()), axis=2), self.size) > 0.5, 2, 0)  # (T, Mh, Mw)
        areas, _, boxes = extents(inside)
        best = {}
        for target_id, mask, area, box in zip(softs, inside, areas.tolist(), boxes.astype(int).tolist(), strict=True):
            window = (slice(box[1], box[3]), slice(box[0], box[2])) if area else (slice(0, 0), slice(0, 0))
            best[target_id] = self._best(_Crop(mask[window], window, int(area)))
        return best

    def iou(self, row: int, soft: Float32Array) -> float:
        """Return the IoU of the mask of a row with a soft mask (H, W); 0 if both are empty."""
        return self._crop(row).iou(_Crop.of(self._enlarged(soft)))

    def union(self, rows: Sequence[int]) -> BoolArray:
        """Return the union (Mh, Mw) of the masks of some rows."""
        union: BoolArray = np.zeros(self.size, np.bool_)
        for row in rows:
            crop = self._crop(row)
            union[crop.window] |= crop.inside
        return union

    def near(self, target: BoolArray) -> list[int]:
        """Return the rows whose boxes overlap the tight box of a mask (Mh, Mw)."""
        return self._near(_Crop.of(target).window, 0.0)

    def _crop(self, row: int) -> _Crop:
        if row not in self._crops:
            x0, y0, x1, y1 = np.clip(np.ceil(self._boxes[row] - 0.5), 0, (*self.size[::-1], *self.size[::-1])).tolist()
            window = slice(int(y0), int(y1)), slice(int(x0), int(x1))
            self._crops[row] = _Crop.within(self._logits[row][window] > 0, window)
        return self._crops[row]

    def _enlarged(self, soft: Float32Array) -> BoolArray:
        inside: BoolArray = enlarged(soft, self.size) > 0.5
        return inside

    def _near(self, window: tuple[slice, slice], min_iou: float) -> list[int]:
        """Return the rows whose boxes have an IoU above `min_iou` with a window of the grid."""
        box = np.array([window[1].start, window[0].start, window[1].stop, window[0].stop], np.float64)
        low, high = np.maximum(box[:2], self._boxes[:, :2]), np.minimum(box[2:], self._boxes[:, 2:])
        shared: Float64Array = np.maximum(high - low, 0).prod(axis=1)
        union = (box[2:] - box[:2]).prod() + (self._boxes[:, 2:] - self._boxes[:, :2]).prod(axis=1) - shared
        near: list[int] = np.flatnonzero(shared > min_iou * union).tolist()
        return near


@dataclass(frozen=True, eq=False)
class _Crop:
    """A mask inside a window of the grid, outside of which it is background."""

    inside: BoolArray
    window: tuple[slice, slice]
    """Rows and columns of the grid."""
    area: int
    """Number of cells inside."""

    @classmethod
    def within(cls, inside: BoolArray, window: tuple[slice, slice]) -> _Crop:
        """Return the crop with its area."""
        return cls(inside, window, int(np.count_nonzero(inside)))

    @classmethod
    def of(cls, mask: BoolArray) -> _Crop:
        """Crop a mask of the whole grid to its tight box, of no cells if it is empty."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls.within(mask[:0, :0], (slice(0, 0), slice(0, 0)))
        window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        return cls.within(mask[window], window)

    def iou(self, other: _Crop) -> float:
        """Return the IoU of two masks; 0 if both are empty."""
        shared = int(np.count_nonzero(self._part(other.window) & other._part(self.window)))
        return shared / max(self.area + other.area - shared, 1)

    def _part(self, window: tuple[slice, slice]) -> BoolArray:
        """Return the part that lies in another window as well."""
        down, across = (
            slice(max(one.start, own.start) - own.start, max(min(one.stop, own.stop) - own.start, 0))
            for own, one in zip(self.window, window, strict=True)
        )
        part: BoolArray = self.inside[down, across]
        return part


def _resized(grid: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Resample a grid to another one of `size` (H, W) over the same area."""
    shrinks = size[0] < grid.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grid, (size[1], size[0]), interpolation=method), np.float32)
