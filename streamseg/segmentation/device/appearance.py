"""Appearance embeddings on the device, as `segmentation.embedding.embed` computes them on the host."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.segmentation.device.lab import ColourBins
from streamseg.segmentation.embedding import POINTS_PER_SIDE, PROTOTYPE_WEIGHT, colour_smoothing
from streamseg.structures.grid import GridTransform

__all__ = ["DeviceEmbedding"]

_NUM_POINTS: Final = POINTS_PER_SIDE**2
_TINY: Final = 1e-9


class DeviceEmbedding:
    """Computes embeddings of the objects of B images of one size.

    Args:
        grid: transform from the grid of the logits to the image.
        grid_size: (Mh, Mw) of the logits and prototypes.
        device: the device; constants are allocated here.
    """

    def __init__(self, grid: GridTransform, grid_size: tuple[int, int], device: torch.device) -> None:
        self._size = grid_size
        self._bins = ColourBins(device)
        self._smoothing = torch.from_numpy(colour_smoothing()).to(device)
        shares = (torch.arange(POINTS_PER_SIDE) + 0.5) / POINTS_PER_SIDE
        self._shares = shares[:, None].to(device)
        self._offset = torch.tensor([grid.offset_x, grid.offset_y]).to(device)
        self._scale = torch.tensor([grid.scale_x, grid.scale_y]).to(device)
        self._last = torch.tensor([grid_size[1] - 1, grid_size[0] - 1]).to(device)

    def __call__(self, boxes: Tensor, logits: Tensor, prototypes: Tensor, pixels: Tensor) -> Tensor:
        """Return the embeddings float32 (B, K, bins + P), of length 1.

        Args:
            boxes: float32 (B, K, 4) xyxy, pixels of the image.
            logits: float32 (B, K, Mh, Mw), without corrections.
            prototypes: float32 (B, P, Mh, Mw).
            pixels: uint8 (B, H, W, 3) RGB, the network's input.
        """
        batch, count = boxes.shape[:2]
        low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
        points = ((low + (high - low) * self._shares - self._offset) / self._scale).long().clamp_(min=0)
        columns, rows = torch.minimum(points, self._last).unbind(-1)  # (B, K, S) each
        cells = (rows[:, :, :, None] * self._size[1] + columns[:, :, None, :]).view(batch, count, _NUM_POINTS)
        inside = logits.flatten(2).gather(2, cells) > 0
        inside = (inside | ~inside.any(dim=2, keepdim=True)).float()
        colours = self._colours(pixels, cells, inside)
        means = self._means(prototypes, rows, columns, inside)
        return functional.normalize(torch.cat([colours, PROTOTYPE_WEIGHT * means], dim=2), dim=2, eps=_TINY)

    def _colours(self, pixels: Tensor, cells: Tensor, inside: Tensor) -> Tensor:
        """Return the roots of blurred colour histograms (B, K, bins), each of length 1."""
        batch, count = cells.shape[:2]
        height, width = self._size
        blocks = pixels.view(batch, height, PROTOTYPE_STRIDE, width, PROTOTYPE_STRIDE, 3)
        small = blocks.float().mean(dim=(2, 4)).round_().long()  # (B, Mh, Mw, 3)
        bins = self._bins(small.view(-1, 3)).view(batch, 1, height * width).expand(-1, count, -1).gather(2, cells)
        counts = inside.new_zeros((batch, count, self._smoothing.shape[0])).scatter_add_(2, bins, inside)
        return functional.normalize(torch.matmul(counts, self._smoothing).sqrt_(), dim=2, eps=_TINY)

    def _means(self, prototypes: Tensor, rows: Tensor, columns: Tensor, inside: Tensor) -> Tensor:
        """Return mean prototypes (B, K, P) relative to the image's mean, each of length 1."""
        batch, count = rows.shape[:2]
        levels = prototypes[:, :, ::2, ::2].flatten(2)  # (B, P, cells): every second cell and point is sufficient
        levels = levels - levels.mean(dim=2, keepdim=True)
        deviations = levels.square().mean(dim=2).sqrt_()[:, None]  # (B, 1, P)
        half_width = (self._size[1] + 1) // 2
        places = (rows[:, :, ::2] // 2 * half_width)[:, :, :, None] + (columns[:, :, 1::2] // 2)[:, :, None, :]
        chosen = inside.view(batch, count, POINTS_PER_SIDE, POINTS_PER_SIDE)[:, :, ::2, 1::2].flatten(2)
        chosen = torch.maximum(chosen, 1 - chosen.amax(dim=2, keepdim=True))  # all points, if none is inside
        weights = chosen.new_zeros((batch, count, levels.shape[2])).scatter_add_(2, places.flatten(2), chosen)
        sums = torch.bmm(weights, levels.transpose(1, 2))
        return functional.normalize(sums / chosen.sum(dim=2, keepdim=True) / (deviations + 1e-6), dim=2, eps=_TINY)
