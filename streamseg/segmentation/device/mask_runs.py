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

from streamseg.segmentation.masks import LARGE_CELL_PIXELS
from streamseg.segmentation.resampling import ROUNDING, Axis, axis_of
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
        batch: number of images, B.
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
        batch: int,
        num_pixels: int,
        num_changes: int,
        device: torch.device,
    ) -> None:
        self._num_changes, self._num_pixels = num_changes, num_pixels
        self._x = _Side.of(image_size[1], grid_size[1], grid.scale_x, grid.offset_x, device)
        self._y = _Side.of(image_size[0], grid_size[0], grid.scale_y, grid.offset_y, device)
        sides = torch.tensor([image_size[1], image_size[0]], dtype=torch.float64)
        border = torch.tensor([self._x.axis.cell / 2, self._y.axis.cell / 2], dtype=torch.float64)
        self._sides, self._low_border, self._high_border = (one.to(device) for one in (sides, border, sides - border))
        self._positions = torch.arange(num_pixels, dtype=torch.int32).repeat(batch, 1).to(device)  # (B, P)
        self._images = torch.arange(batch, dtype=torch.int32)[:, None].to(device)

    def __call__(self, boxes: Tensor, valid: Tensor, logits: Tensor, corrections: Tensor | None) -> Runs:
        """Compute the masks of K objects per image.

        Args:
            boxes: float32 (B, K, 4) xyxy, pixels of the image.
            valid: bool (B, K); the other rows get no mask.
            logits: float32 (B, K, Mh, Mw), contiguous.
            corrections: float32 (B, K, R, R); None for uncorrected masks.
        """
        batch, count = valid.shape
        low, high = boxes[..., :2].double(), boxes[..., 2:].double()
        if corrections is not None:
            margins = CORRECTION_MARGIN * (high - low)
            low, high = low - margins, high + margins
        first, last = self._spans(low, high)  # float64 (B, K, 2) of whole numbers
        extent = (last - first).clamp_(min=0) * valid[..., None]
        areas = extent.prod(dim=2)
        ends = areas.cumsum(dim=1)  # exact up to 2^53
        ends_32 = ends.clamp(max=2.0**31 - 1).to(torch.int32)
        row = torch.searchsorted(ends_32, self._positions, right=True, out_int32=True).clamp_(max=count - 1)  # (B, P)
        row = row + self._images * count
        table = torch.cat([(ends - areas)[..., None], extent.clamp(min=1), first], dim=2).to(torch.int32)
        start, width, _, left, top = table.view(-1, 5).index_select(0, row.view(-1)).view(batch, -1, 5).unbind(-1)
        local = self._positions - start
        down = local.div(width, rounding_mode="floor")
        across = local - down * width
        # Beyond the last crop, positions may lie outside the image.
        x = (across + left).clamp_(0, len(self._x.lower) - 1)
        y = (down + top).clamp_(0, len(self._y.lower) - 1)
        value = self._plain(logits, row, x, y)
        if corrections is not None:
            value = value + self._correction(corrections, row, across, down, low, high, first, last)
        inside = (value > 0) & (self._positions < ends_32[:, -1:])
        changes, counts = self._changes(inside)
        return Runs(
            changes, counts.masked_fill(ends[:, -1] >= self._num_pixels, self._num_changes + 1), areas.sum(dim=1)
        )

    def _changes(self, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changes (B, N) of pixels (B, P), and their number (B,)."""
        before = torch.cat([torch.zeros_like(inside[:, :1]), inside[:, :-1]], dim=1)
        is_change = inside ^ before
        ranks = is_change.cumsum(dim=1)  # int64 (B, P)
        # The others share a slot that is cut off, as do changes beyond the capacity.
        slots = (ranks - 1).masked_fill_(~is_change, self._num_changes).clamp_(max=self._num_changes)
        changes = self._positions.new_zeros((len(inside), self._num_changes + 1)).scatter_(1, slots, self._positions)
        return changes[:, : self._num_changes], ranks[:, -1]

    def _spans(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels [first, last) between edges, as `Axis.spans`; float64 (B, K, 2)."""
        low = low * (low > self._low_border)
        at_border = high >= self._high_border
        high = high * ~at_border + self._sides * at_border
        return _first_pixels(low).clamp_(min=0), torch.minimum(_first_pixels(high), self._sides)

    def _plain(self, logits: Tensor, row: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Interpolate the logits at pixels (B, P)."""
        height, width = logits.shape[2:]
        left, top = (side.lower.index_select(0, at.view(-1)).view_as(at) for side, at in ((self._x, x), (self._y, y)))
        share_x, share_y = (
            side.share.index_select(0, at.view(-1)).view_as(at) for side, at in ((self._x, x), (self._y, y))
        )
        return _interpolated(logits.view(-1), row * (height * width) + top * width + left, width, share_x, share_y)

    def _correction(
        self,
        corrections: Tensor,
        row: Tensor,
        across: Tensor,
        down: Tensor,
        low: Tensor,
        high: Tensor,
        first: Tensor,
        last: Tensor,
    ) -> Tensor:
        """Interpolate the corrections at pixels (B, P) of crops, given by column and row in the crop."""
        raster = corrections.shape[3]
        begin, end = _first_pixels(low), _first_pixels(high)
        # Aligned to whole pixels, as on the host, if the cells are large.
        is_large = (end - begin >= raster * LARGE_CELL_PIXELS) & (begin <= first) & (last <= end)
        is_large = is_large.all(dim=2, keepdim=True)
        cells = raster / (high - low).clamp(min=ROUNDING)
        cells = cells * ~is_large + raster / (end - begin).clamp(min=1) * is_large
        origin = low * ~is_large + begin * is_large
        places = torch.cat([cells * (first + 0.5 - origin) - 0.5, cells], dim=2).float()  # (B, K, 4)
        chosen = places.view(-1, 4).index_select(0, row.view(-1)).view(*row.shape, 4)
        start_x, start_y, step_x, step_y = chosen.unbind(-1)
        x = (start_x + step_x * across).clamp_(0, raster - 1)
        y = (start_y + step_y * down).clamp_(0, raster - 1)
        left, top = (at.to(torch.int32).clamp_(max=raster - 2) for at in (x, y))
        cell = row * (raster * raster) + top * raster + left
        return _interpolated(corrections.reshape(-1), cell, raster, x - left, y - top)


def _interpolated(values: Tensor, cell: Tensor, width: int, share_x: Tensor, share_y: Tensor) -> Tensor:
    """Interpolate between a cell of flat grids, the next one in its row, and the two below."""
    upper, lower = (
        torch.lerp(
            values.index_select(0, at.view(-1)).view_as(at),
            values.index_select(0, at.view(-1) + 1).view_as(at),
            share_x,
        )
        for at in (cell, cell + width)
    )
    return torch.lerp(upper, lower, share_y)


def _first_pixels(edges: Tensor) -> Tensor:
    """Return the first pixels whose centres lie beyond edges, as `Axis.pixels` at one pixel per pixel."""
    return (edges - 0.5 - ROUNDING).ceil_()


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
