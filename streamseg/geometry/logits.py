"""Mask logits at points of the image, and on rasters over boxes."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from streamseg.structures.arrays import Float32Array
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import SILHOUETTE_TILES

__all__ = ["logits_in_boxes", "raster_logits", "raster_points", "sample_logits", "silhouettes"]


def sample_logits(instances: Instances, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample mask logits at points of the image, including corrections if present, inside and outside the boxes.

    Args:
        instances: provide `mask_logits` and `corrections`, on any device.
        rows: row of the instance to sample at each point, int64.
        x: x coordinates in continuous pixels of the source image.
        y: y coordinates; `rows`, `x` and `y` broadcast against each other.

    Returns:
        Logits, float32 of the broadcast shape, interpolated bilinearly between cell centres; beyond the outermost
        centres, the border cells continue. Without points or rows, an empty tensor.
    """
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    logits = _bilinear(instances.mask_logits, rows, (x - offset_x) / scale_x - 0.5, (y - offset_y) / scale_y - 0.5)
    if instances.corrections is None:
        return logits
    raster = instances.corrections.shape[1]
    x0, y0, x1, y1 = instances.boxes[rows].unbind(dim=-1)
    return logits + _bilinear(
        instances.corrections, rows, _raster_position(x, x0, x1, raster), _raster_position(y, y0, y1, raster)
    )


def logits_in_boxes(instances: Instances, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample mask logits as `sample_logits` does; -inf outside the boxes, where masks end.

    A mask contains a point if the logit is positive. The left and upper sides belong to a box, the others do not.
    """
    x0, y0, x1, y1 = instances.boxes[rows].unbind(dim=-1)
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    logits = x0.new_full(inside.shape, -torch.inf)
    logits[inside] = sample_logits(instances, *(one.expand(inside.shape)[inside] for one in (rows, x, y)))
    return logits


def _raster_position(at: Tensor, low: Tensor, high: Tensor, raster: int) -> Tensor:
    """Return a coordinate's position in cells on the correction raster of a box side from `low` to `high`."""
    share = (at - low) / (high - low).clamp(min=1e-6)
    return (share + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * raster - 0.5


def _bilinear(maps: Tensor, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolate maps (K, H, W) at positions in cells (the centre of cell i is at i), as float32."""
    _, height, width = maps.shape
    x, y = x.clamp(0, max(width - 1, 0)), y.clamp(0, max(height - 1, 0))
    left, top = x.long(), y.long()  # non-negative, so truncation equals floor
    step_right = (left < width - 1).long()
    step_down = (top < height - 1).long() * width
    weight_x, weight_y = x - left, y - top
    values = maps.reshape(-1)
    corner = rows * (height * width) + top * width + left
    upper = torch.lerp(values[corner].float(), values[corner + step_right].float(), weight_x)
    corner = corner + step_down
    lower = torch.lerp(values[corner].float(), values[corner + step_right].float(), weight_x)
    return torch.lerp(upper, lower, weight_y)


def raster_points(boxes: Tensor, raster: int, *, margin: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the centres of raster x raster equal tiles over boxes (K, 4), widened per side by `margin` of their size.

    Returns:
        Two tensors, float (K, raster): x from left to right, y from top to bottom.
    """
    positions = (torch.arange(raster, device=boxes.device) + 0.5) / raster * (1 + 2 * margin) - margin
    x = boxes[:, 0, None] + (boxes[:, 2] - boxes[:, 0])[:, None] * positions
    y = boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * positions
    return x, y


def silhouettes(instances: Instances, raster: int) -> Tensor:
    """Rasterise each mask inside its own box: bool (K, raster, raster), rows from top to bottom.

    The mask is sampled at the centres of raster x raster equal tiles of the box, so that the resolution follows the
    size of the object, not the grid. The mean over the tiles times the area of the box is the area of the mask in
    pixels.
    """
    if raster == SILHOUETTE_TILES and instances.samples is not None and instances.samples.silhouettes is not None:
        return instances.samples.silhouettes
    return raster_logits(instances, raster) > 0


def raster_logits(instances: Instances, raster: int, *, margin: float = 0.0) -> Tensor:
    """Sample mask logits, corrections included, at the points of `raster_points`: float32 (K, raster, raster).

    The values are those of `sample_logits`, in a third of the time, because the points form grids.
    """
    if not len(instances):
        return instances.boxes.new_zeros((0, raster, raster))
    places = torch.from_numpy(_grid_places(instances, raster, margin)).to(instances.mask_logits.device)
    grid = instances.mask_logits.float()[:, None]
    logits = grid_sample(grid, places, padding_mode="border", align_corners=False)[:, 0]
    corrections = instances.corrections
    if corrections is None:
        return logits
    if margin == CORRECTION_MARGIN and corrections.shape[1] == raster:
        return logits + corrections  # the same points: nothing to interpolate
    # Tiles have the same position on every correction raster, so a matrix product replaces per-object sampling.
    weights = _tile_weights(raster, margin, corrections.shape[1]).to(logits.device)
    return logits + weights @ corrections.float() @ weights.T


def _grid_places(instances: Instances, raster: int, margin: float) -> Float32Array:
    """Return the points of `raster_points` (K, raster, raster, 2) on the grid: x and y, from -1 to 1 over all of it."""
    # In NumPy, because so few values take torch longer to dispatch than to compute.
    _, height, width = instances.mask_logits.shape
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    boxes = instances.boxes.numpy(force=True)
    sides = boxes[:, :2, None] + (boxes[:, 2:] - boxes[:, :2])[:, :, None] * _tile_centres(raster, margin)  # (K, 2, R)
    offsets = np.array([[offset_x], [offset_y]], dtype=np.float32)
    factors = np.array([[2 / (scale_x * width)], [2 / (scale_y * height)]], dtype=np.float32)
    along = (sides - offsets) * factors - np.float32(1)
    places = np.empty((len(boxes), raster, raster, 2), dtype=np.float32)
    places[..., 0], places[..., 1] = along[:, 0, None, :], along[:, 1, :, None]
    return places


@cache
def _tile_centres(num_tiles: int, margin: float) -> Float32Array:
    """Return the centres (T,) of tiles along a side that is widened by `margin`: 0..1 inside the side itself."""
    centres: Float32Array = ((torch.arange(num_tiles) + 0.5) / num_tiles * (1 + 2 * margin) - margin).numpy()
    return centres


@cache
def _tile_weights(num_tiles: int, margin: float, raster: int) -> Tensor:
    """Return the bilinear weight (T, R) of each correction cell for each tile of a widened box, along one side."""
    zero, one = torch.zeros(1), torch.ones(1)
    shares = (torch.arange(num_tiles) + 0.5) / num_tiles * (1 + 2 * margin) - margin
    positions = _raster_position(shares, zero, one, raster).clamp(0, raster - 1)
    return (1 - (positions[:, None] - torch.arange(raster)).abs()).clamp(min=0)
