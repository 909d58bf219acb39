"""Mask logits sampled on rasters over the boxes, for tracking, for the history of prompts and for the refiner."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.mask_samples import SILHOUETTE_TILES, WIDENED_CELLS

__all__ = ["Rasters", "Samples", "bilinear_weights"]


class Samples(NamedTuple):
    """Logits of B images with K boxes each."""

    tiles: Tensor
    """float32 (B, K, T, T) over the boxes, T = `SILHOUETTE_TILES`."""
    widened: Tensor
    """float32 (B, K, R, R) over the widened boxes, R = `WIDENED_CELLS`."""


class Rasters:
    """Samples the logits of boxes on both rasters at once.

    Args:
        grid: transform from the grid of the logits to the image.
        grid_size: (Mh, Mw) of the logits.
        device: the device; constants are allocated here.
    """

    def __init__(self, grid: GridTransform, grid_size: tuple[int, int], device: torch.device) -> None:
        height, width = grid_size
        shares = torch.cat([_shares(SILHOUETTE_TILES, 0.0), _shares(WIDENED_CELLS, CORRECTION_MARGIN)])
        self._shares = shares[:, None].to(device)  # (T + R, 1)
        # From the image to -1..1 over the grid, as in `functional.grid_sample`.
        scale = torch.tensor([2 / (grid.scale_x * width), 2 / (grid.scale_y * height)])
        self._scale = scale.to(device)
        self._offset = (torch.tensor([grid.offset_x, grid.offset_y]) * -scale - 1).to(device)
        self._tile_weights = bilinear_weights(
            (_shares(SILHOUETTE_TILES, 0.0) + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * WIDENED_CELLS - 0.5,
            WIDENED_CELLS,
        ).to(device)

    def places(self, boxes: Tensor) -> Tensor:
        """Return the positions along both sides of boxes (B, K, 4): (B, K, T + R, 2), x and y in -1..1."""
        low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
        points = low + (high - low) * self._shares
        return points * self._scale + self._offset

    def widened_grid(self, places: Tensor) -> Tensor:
        """Return the cells of the widened rasters (B, K, R, R, 2), from the result of `places`."""
        return _cells(places[:, :, SILHOUETTE_TILES:])

    def __call__(self, logits: Tensor, places: Tensor) -> Samples:
        """Sample logits float32 (B, K, Mh, Mw) bilinearly at the result of `places`."""
        batch, count, height, width = logits.shape
        cells = _cells(places).flatten(0, 1)  # (B * K, T + R, T + R, 2)
        sampled = functional.grid_sample(
            logits.view(batch * count, 1, height, width), cells, padding_mode="border", align_corners=False
        ).view(batch, count, *cells.shape[1:3])
        return Samples(
            sampled[..., :SILHOUETTE_TILES, :SILHOUETTE_TILES], sampled[..., SILHOUETTE_TILES:, SILHOUETTE_TILES:]
        )

    def corrected(self, samples: Samples, corrections: Tensor) -> Samples:
        """Add corrections (B, K, R, R), which lie on the widened raster."""
        return Samples(
            samples.tiles + self._tile_weights @ corrections @ self._tile_weights.T, samples.widened + corrections
        )


def bilinear_weights(positions: Tensor, num_cells: int) -> Tensor:
    """Return the weight (N, num_cells) of each cell at positions (N,) in cells; the border cells are repeated."""
    clamped = positions.clamp(0, num_cells - 1)
    return (1 - (clamped[:, None] - torch.arange(num_cells)).abs()).clamp(min=0)


def _shares(raster: int, margin: float) -> Tensor:
    """Return the centres of the tiles of a box side, widened by `margin` of it, as fractions of the side."""
    return (torch.arange(raster) + 0.5) / raster * (1 + 2 * margin) - margin


def _cells(places: Tensor) -> Tensor:
    """Return x and y of each cell (..., N, N, 2), top row first, from positions along both sides (..., N, 2)."""
    count = places.shape[-2]
    shape = (*places.shape[:-2], count, count)
    x = places[..., None, :, 0].expand(shape)
    y = places[..., :, None, 1].expand(shape)
    return torch.stack([x, y], dim=-1)
