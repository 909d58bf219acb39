"""Agreement of propagated masks with proposals: the instances that the network found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike

from streamseg.propagation.pixels import tight_box
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array, IndexArray
from streamseg.structures.instances import Instances

__all__ = ["Proposals"]

MIN_BOX_IOU: Final = 0.3
"""Minimum IoU of the boxes of two masks whose masks are compared."""


class Proposals:
    """The instances of one frame on the grid of their mask logits; each mask is computed once, on first use.

    Soft masks that it is asked about must not change any more: their crops are computed once, too.

    Corrections by a refiner are left out: they move outlines by less than a cell of features.

    Args:
        instances: K objects on the host; K may be 0.
    """

    def __init__(self, instances: Instances) -> None:
        self._logits = instances.mask_logits.numpy()
        self._to_image = instances.grid_to_image
        self._boxes = self.to_cells(instances.boxes.double().numpy())
        self._crops: dict[int, _Crop] = {}
        self._coverages: dict[tuple[int, tuple[int, int]], Float32Array] = {}
        self._softs: dict[int, tuple[Float32Array, _Crop]] = {}
        """Soft masks and their crops, by the `id` of the mask."""
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

    def masks(self) -> BoolArray:
        """Return the masks (K, Mh, Mw) of all rows at once, see `mask`."""
        x0, y0, x1, y1 = np.ceil(self._boxes - 0.5).T[..., None]  # (K, 1) each
        y, x = np.arange(self.size[0]), np.arange(self.size[1])
        masks: BoolArray = self._logits > 0
        masks &= ((y >= y0) & (y < y1))[:, :, None]
        masks &= ((x >= x0) & (x < x1))[:, None]
        return masks

    def coverages(self, size: tuple[int, int]) -> Float32Array:
        """Return the `coverage` (K, H, W) of each row on its own."""
        height, width = size
        if self.size != (2 * height, 2 * width):
            every = [self.coverage([row], size) for row in range(len(self.scores))]
            return np.stack(every) if every else np.zeros((0, *size), np.float32)
        # The usual case, at once: the two cells of a pair are the low and the high byte of a number.
        cells = self.masks().view(np.uint8)
        pairs = (cells[:, ::2] + cells[:, 1::2]).view(np.uint16)
        counts = (pairs & 255) + (pairs >> 8)
        return np.multiply(counts, np.float32(0.25), dtype=np.float32)

    def coverage(self, rows: Sequence[int], size: tuple[int, int]) -> Float32Array:
        """Return how much of each cell of a grid of `size` (H, W) the union of some masks covers, 0..1. Read-only."""
        if len(rows) != 1:
            return _resized(self.union(rows).astype(np.float32), size)
        if (rows[0], size) not in self._coverages:
            self._coverages[rows[0], size] = self._shares(self._crop(rows[0]), size)
        return self._coverages[rows[0], size]

    def soft_coverage(self, soft: Float32Array) -> Float32Array:
        """Return how much of each cell of its own grid (H, W) a soft mask covers, 0..1, if it ends at 0.5."""
        return self._shares(self._enlarged(soft), (soft.shape[0], soft.shape[1]))

    def best(self, soft: Float32Array) -> tuple[int, float]:
        """Return the row whose mask has the best IoU with a soft mask (H, W), and the IoU; -1 and 0 if none overlaps.

        Args:
            soft: 0..1 on a grid over the same area as the mask logits; a cell is inside above 0.5.
        """
        return self.best_each({"": soft})[""]

    def best_each(self, softs: Mapping[str, Float32Array]) -> dict[str, tuple[int, float]]:
        """Return the result of `best` for each of several soft masks (H, W) by target."""
        best: dict[str, tuple[int, float]] = dict.fromkeys(softs, (-1, 0.0))
        if not softs or not self.scores:
            return best
        crops = [self._enlarged(soft) for soft in softs.values()]
        ious = self._box_ious(np.array([crop.box for crop in crops]))
        for target_id, target, line in zip(softs, crops, ious, strict=True):
            rows = np.flatnonzero(line > MIN_BOX_IOU)
            # Likely ones first, because then few of the others can have a better IoU still.
            for row in rows[np.argsort(-line[rows], kind="stable")].tolist():
                known, least = best[target_id]
                crop = self._crop(row)
                if min(crop.area, target.area) < least * max(crop.area, target.area):
                    continue
                iou = crop.iou(target)
                if iou > least or (iou == least and row < known):
                    best[target_id] = row, iou
        return best

    def iou(self, row: int, soft: Float32Array) -> float:
        """Return the IoU of the mask of a row with a soft mask (H, W); 0 if both are empty."""
        return self._crop(row).iou(self._enlarged(soft))

    def union(self, rows: Sequence[int]) -> BoolArray:
        """Return the union (Mh, Mw) of the masks of some rows."""
        union: BoolArray = np.zeros(self.size, np.bool_)
        for row in rows:
            crop = self._crop(row)
            union[crop.window] |= crop.inside
        return union

    def near(self, target: BoolArray) -> list[int]:
        """Return the rows whose boxes overlap the tight box of a mask (Mh, Mw)."""
        near: list[int] = np.flatnonzero(self._box_ious(np.array([_Crop.tight(target).box]))[0]).tolist()
        return near

    def _crop(self, row: int) -> _Crop:
        if row not in self._crops:
            x0, y0, x1, y1 = np.clip(np.ceil(self._boxes[row] - 0.5), 0, (*self.size[::-1], *self.size[::-1])).tolist()
            window = slice(int(y0), int(y1)), slice(int(x0), int(x1))
            self._crops[row] = _Crop.of(self._logits[row][window] > 0, window)
        return self._crops[row]

    def _enlarged(self, soft: Float32Array) -> _Crop:
        """Return the cells above 0.5 of a soft mask (H, W) that is interpolated on this grid, in their tight box."""
        if id(soft) not in self._softs:
            self._softs[id(soft)] = soft, self._enlarged_afresh(soft)
        return self._softs[id(soft)][1]

    def _enlarged_afresh(self, soft: Float32Array) -> _Crop:
        down, across = _scale(self.size, soft.shape)
        x, y, width, height = tight_box(soft > 0.5)
        if not down or not across:
            return _Crop.tight(np.asarray(cv2.resize(soft, self.size[::-1])) > 0.5)
        # Cells beyond the next ones have no influence on what is inside.
        left, top = max(x - 1, 0), max(y - 1, 0)
        window = soft[top : y + height + 1, left : x + width + 1]
        fine = cv2.resize(window, (window.shape[1] * across, window.shape[0] * down))
        return _Crop.tight(np.asarray(fine) > 0.5, (top * down, left * across))

    def _shares(self, crop: _Crop, size: tuple[int, int]) -> Float32Array:
        """Return how much of each cell of a grid of `size` (H, W) a mask covers, 0..1."""
        shares = np.zeros(size, np.float32)
        if self.size != (2 * size[0], 2 * size[1]):
            cells = np.zeros(self.size, np.float32)
            cells[crop.window] = crop.inside
            return _resized(cells, size)
        # The usual case, in the window of the mask alone.
        rows, columns = crop.window
        top, left, bottom, right = rows.start // 2, columns.start // 2, -(-rows.stop // 2), -(-columns.stop // 2)
        if bottom > top and right > left:
            cells = np.zeros((2 * (bottom - top), 2 * (right - left)), np.float32)
            y, x = rows.start - 2 * top, columns.start - 2 * left
            cells[y : y + crop.inside.shape[0], x : x + crop.inside.shape[1]] = crop.inside
            shares[top:bottom, left:right] = _resized(cells, (bottom - top, right - left))
        return shares

    def _box_ious(self, boxes: IndexArray) -> Float64Array:
        """Return the IoUs (T, K) of boxes (T, 4) xyxy in cells with the boxes of all rows; 0 for an empty box."""
        low = np.maximum(boxes[:, None, :2], self._boxes[:, :2])
        high = np.minimum(boxes[:, None, 2:], self._boxes[:, 2:])
        shared = np.maximum(high - low, 0).prod(axis=2)
        areas, own = ((one[:, 2:] - one[:, :2]).prod(axis=1) for one in (boxes, self._boxes))
        ious: Float64Array = shared / np.maximum(areas[:, None] + own - shared, 1e-9)
        return ious


@dataclass(frozen=True, eq=False)
class _Crop:
    """A mask inside a window of the grid, outside of which it is background."""

    inside: BoolArray
    window: tuple[slice, slice]
    """Rows and columns of the grid."""
    area: int
    """Number of cells inside."""

    @classmethod
    def of(cls, inside: BoolArray, window: tuple[slice, slice]) -> _Crop:
        """Return the crop with its area."""
        return cls(inside, window, int(np.count_nonzero(inside)))

    @classmethod
    def tight(cls, inside: BoolArray, start: tuple[int, int] = (0, 0)) -> _Crop:
        """Return the tight crop of a mask whose first row and column on the grid are `start`."""
        x, y, width, height = tight_box(inside)
        window = slice(start[0] + y, start[0] + y + height), slice(start[1] + x, start[1] + x + width)
        return cls.of(inside[y : y + height, x : x + width], window)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The window as a box xyxy."""
        return self.window[1].start, self.window[0].start, self.window[1].stop, self.window[0].stop

    def iou(self, other: _Crop) -> float:
        """Return the IoU of two masks; 0 if both are empty."""
        (rows, columns), (other_rows, other_columns) = self.window, other.window
        y0, y1 = max(rows.start, other_rows.start), min(rows.stop, other_rows.stop)
        x0, x1 = max(columns.start, other_columns.start), min(columns.stop, other_columns.stop)
        if y1 <= y0 or x1 <= x0:
            return 0.0
        own = self.inside[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start]
        others = other.inside[
            y0 - other_rows.start : y1 - other_rows.start, x0 - other_columns.start : x1 - other_columns.start
        ]
        shared = int(np.count_nonzero(own & others))
        return shared / max(self.area + other.area - shared, 1)


def _scale(fine: tuple[int, int], coarse: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of rows and columns of a fine grid per cell of a coarse one; 0 if it is not whole."""
    down, across = (one // other if one % other == 0 else 0 for one, other in zip(fine, coarse, strict=True))
    return down, across


def _resized(grid: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Resample a grid to another one of `size` (H, W) over the same area."""
    shrinks = size[0] < grid.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grid, (size[1], size[0]), interpolation=method), np.float32)
