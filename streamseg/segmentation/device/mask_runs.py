"""Masks on the device, as runs in a buffer of fixed capacity; the results of `segmentation.masks.instance_masks`.

The crops of an image's objects lie one behind the other, row by row, in one sequence of pixels. Its changes between
background and object are what goes back to the host, where a single `repeat` restores all crops. A sequence or a number
of changes beyond the capacity is reported; the host then computes the masks from logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamseg.segmentation.device.crop_changes import crop_changes
from streamseg.segmentation.device.crop_pixels import crop_pixels
from streamseg.segmentation.device.crop_table import crop_table
from streamseg.segmentation.resampling import Axis, axis_of
from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["MaskRuns", "Runs", "crops_from_runs"]


class Runs(NamedTuple):
    """The masks of B images."""

    changes: Tensor
    """int32 (B, N): ascending positions at which the pixels change, N is the capacity; beyond `counts`, zeros."""
    counts: Tensor
    """int64 (B,): number of changes; above N, the masks are incomplete."""
    crop_pixels: Tensor
    """float64 (B,): number of pixels of all crops; if they do not fit, the masks are incomplete, too."""


@dataclass(frozen=True, eq=False)
class _Side:
    """One axis of the grid as tables over the output pixels."""

    axis: Axis
    lower: Tensor
    """int32 (n,): the lower of the two cells of each pixel."""
    share: Tensor
    """float32 (n,): weight of the other one."""

    @classmethod
    def of(cls, num_pixels: int, num_cells: int, cell: float, offset: float, device: torch.device) -> _Side:
        axis = axis_of(num_pixels, num_pixels, num_cells, cell, offset)
        places = np.clip(axis.start + axis.step * np.arange(num_pixels), axis.first, axis.last)
        lower = np.minimum(places.astype(np.int32), max(num_cells - 2, 0))
        share = (places - lower).astype(np.float32)
        return cls(axis, torch.from_numpy(lower).to(device), torch.from_numpy(share).to(device))


class MaskRuns:
    """Computes the masks of images of one size, at their size.

    Args:
        image_size: (H, W).
        grid: transform from the grid of the logits to the image.
        grid_size: (Mh, Mw) of the logits, at least 2 each.
        num_pixels: capacity for the pixels of an image's crops.
        num_changes: capacity for changes per image.
        device: the device; constants are allocated here.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        grid: GridTransform,
        grid_size: tuple[int, int],
        *,
        num_pixels: int,
        num_changes: int,
        device: torch.device,
    ) -> None:
        self._num_changes, self._num_pixels = num_changes, num_pixels
        x = _Side.of(image_size[1], grid_size[1], grid.scale_x, grid.offset_x, device)
        y = _Side.of(image_size[0], grid_size[0], grid.scale_y, grid.offset_y, device)
        self._sides = (x.lower, x.share, y.lower, y.share)
        sides = torch.tensor([image_size[1], image_size[0]], dtype=torch.float64)
        border = torch.tensor([x.axis.cell / 2, y.axis.cell / 2], dtype=torch.float64)
        self._limits = torch.stack([sides, border, sides - border]).to(device)

    def __call__(self, boxes: Tensor, valid: Tensor, logits: Tensor, corrections: Tensor | None) -> Runs:
        """Compute the masks of K objects per image.

        Args:
            boxes: float32 (B, K, 4) xyxy, pixels of the image.
            valid: bool (B, K); the other rows get no mask.
            logits: float32 (B, K, Mh, Mw), contiguous.
            corrections: float32 (B, K, R, R); None for uncorrected masks.
        """
        margin, raster = (0.0, 1) if corrections is None else (CORRECTION_MARGIN, corrections.shape[3])
        table, places, totals = crop_table(boxes, valid, self._limits, margin, raster)
        none = places[:0, :, :, None] if corrections is None else corrections
        inside, tiles = crop_pixels(table, places, logits, none, *self._sides, self._num_pixels)
        changes, counts = crop_changes(inside, tiles.cumsum(dim=1), totals, self._num_changes)
        return Runs(changes, counts, totals)


def crops_from_runs(
    changes: IndexArray, boxes: Float64Array, x_axis: Axis, y_axis: Axis, space: MaskSpace, *, is_corrected: bool
) -> list[CropMask]:
    """Restore the masks of one image.

    Args:
        changes: (n,) positions of changes.
        boxes: float64 (K, 4) xyxy, the boxes that the runs were computed from.
        x_axis: the columns of the image.
        y_axis: its rows.
        space: the space of the masks.
        is_corrected: whether corrections widen the crops.
    """
    margins = CORRECTION_MARGIN * is_corrected * (boxes[:, 2:] - boxes[:, :2])
    low, high = boxes[:, :2] - margins, boxes[:, 2:] + margins
    left, right = x_axis.spans(low[:, 0], high[:, 0])
    top, bottom = y_axis.spans(low[:, 1], high[:, 1])
    widths, heights = np.maximum(right - left, 0), np.maximum(bottom - top, 0)
    ends = np.cumsum(widths * heights)
    lengths = np.diff(changes, prepend=0, append=int(ends[-1]) if len(ends) else 0)
    pixels: BoolArray = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return [
        _mask(pixels[end - width * height : end].reshape(height, width), x, y, space)
        for end, width, height, x, y in zip(
            ends.tolist(), widths.tolist(), heights.tolist(), left.tolist(), top.tolist(), strict=True
        )
    ]


def _mask(crop: BoolArray, x: int, y: int, space: MaskSpace) -> CropMask:
    return CropMask(crop, x, y, space) if crop.any() else CropMask(np.zeros((0, 0), np.bool_), 0, 0, space)
