"""Pixels of objects on their rasters, on the device: `modeling.refiner.views.object_pixels` for a whole batch.

The levels of the image pyramid lie one behind the other in one buffer, so that each object is sampled from its level
without a branch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.modeling.refiner.views import pyramid_levels

__all__ = ["ObjectPixels"]


@dataclass(frozen=True, eq=False)
class _Halving:
    """The mean over the cells of a level of about half the size; along both axes weights (n / 2, n)."""

    down: Tensor
    across: Tensor
    rounds_up: bool
    """Even sides: OpenCV rounds halves up; else to even."""

    def __call__(self, level: Tensor) -> Tensor:
        """Halve a level float32 (B, h, w, 3)."""
        batch, height, width, _ = level.shape
        rows = torch.matmul(self.down, level.view(batch, height, width * 3)).view(batch, -1, width, 3)
        means = torch.matmul(self.across, rows)
        return means.add_(0.5).floor_() if self.rounds_up else means.round_()


class ObjectPixels:
    """Samples objects of B images of one size from image pyramids.

    Args:
        place: placement of the images in the network's input.
        device: the device; constants are allocated here.
    """

    def __init__(self, place: Letterbox, device: torch.device) -> None:
        self._place = place
        levels = pyramid_levels(place.image_size, place.scaled_size)
        self._plan = [level.origin for level in levels]
        sizes = [level.size for level in levels]
        self._halvings = {
            number: _halving(sizes[number - 1], device)
            for number, origin in enumerate(self._plan)
            if origin == "halved"
        }
        height, width = place.image_size
        scales = torch.tensor([[w / width, h / height] for h, w in sizes])
        self._scales = scales.to(device)
        self._roots = scales.prod(dim=1).sqrt().to(device)
        self._limits = torch.tensor([level.limit for level in levels]).to(device)
        self._sizes = torch.tensor([[w, h] for h, w in sizes]).to(device)
        lengths = [h * w for h, w in sizes]
        self._starts = torch.tensor([sum(lengths[:number]) for number in range(len(lengths))]).to(device)
        self._length = sum(lengths)

    def __call__(self, images: Tensor, inputs: Tensor, sides: Tensor) -> Tensor:
        """Return the pixels float32 (B, K, R, R, 3), whole numbers 0..255.

        Args:
            images: uint8 (B, H, W, 3).
            inputs: uint8 (B, h, w, 3), the network's input.
            sides: float32 (B, K, R, 2), positions along both sides of each raster, pixels of the image.
        """
        batch, count, raster, _ = sides.shape
        atlas = self._atlas(images, inputs)  # (B, N, 3)
        extents = (sides[:, :, 1] - sides[:, :, 0]).prod(dim=2).sqrt()  # (B, K) pixels per cell
        is_too_coarse = extents[..., None] * self._roots > self._limits
        level = is_too_coarse.long().cumprod(dim=2).sum(dim=2).view(-1)  # the first level that is not
        scale, size, start = (table.index_select(0, level) for table in (self._scales, self._sizes, self._starts))
        at = sides.view(-1, raster, 2) * scale[:, None] - 0.5
        at = torch.minimum(at.clamp_(min=0), (size - 1)[:, None].float())
        lower = torch.minimum(at.long(), (size - 2).clamp_(min=0)[:, None])
        share = at - lower
        upper = torch.minimum(lower + 1, (size - 1)[:, None])
        width = size[:, 0, None]
        first_rows, second_rows = (cells[..., 1] * width + start[:, None] for cells in (lower, upper))  # (B * K, R)
        top, bottom = (
            self._blend(atlas, rows.view(batch, count, raster, 1), lower, upper, share)
            for rows in (first_rows, second_rows)
        )
        return torch.lerp(top, bottom, share[..., 1].view(batch, count, raster, 1, 1)).round_()

    def _blend(self, atlas: Tensor, rows: Tensor, lower: Tensor, upper: Tensor, share: Tensor) -> Tensor:
        """Return pixels interpolated along x (B, K, R, R, 3), at rows given by their first pixel (B, K, R, 1)."""
        batch, count, raster, _ = rows.shape
        left, right = (
            atlas.gather(
                1, (rows + cells[..., 0].view(batch, count, 1, raster)).view(batch, -1, 1).expand(-1, -1, 3)
            ).view(batch, count, raster, raster, 3)
            for cells in (lower, upper)
        )
        return torch.lerp(left, right, share[..., 0].view(batch, count, 1, raster, 1))

    def _atlas(self, images: Tensor, inputs: Tensor) -> Tensor:
        """Return all levels one behind the other: float32 (B, N, 3)."""
        (rows, columns), top, left = self._place.scaled_size, self._place.top, self._place.left
        levels: list[Tensor] = []
        for number, origin in enumerate(self._plan):
            if origin == "image":
                levels.append(images.float())
            elif origin == "input":
                levels.append(inputs[:, top : top + rows, left : left + columns].float())
            else:
                levels.append(self._halvings[number](levels[-1]))
        return torch.cat([level.flatten(1, 2) for level in levels], dim=1)


def _halving(size: tuple[int, int], device: torch.device) -> _Halving:
    down, across = (_area_weights(length).to(device) for length in size)
    return _Halving(down, across, rounds_up=size[0] % 2 == 0 and size[1] % 2 == 0)


def _area_weights(length: int) -> Tensor:
    """Return the share (n, length) of each pixel in n = length // 2 equal parts of a side."""
    parts = length // 2
    step = length / parts
    low = torch.arange(parts, dtype=torch.float64)[:, None] * step
    pixel = torch.arange(length, dtype=torch.float64)
    shared = (torch.minimum(low + step, pixel + 1) - torch.maximum(low, pixel)).clamp(min=0)
    return (shared / step).float()
