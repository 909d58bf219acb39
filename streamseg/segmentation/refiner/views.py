"""What the refiner sees of each object, on a raster of its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import Letterbox, box_area, raster_points
from streamseg.structures.instances import CORRECTION_MARGIN, Instances

__all__ = ["RASTER", "Views", "object_pixels", "raster_grid", "views"]

RASTER = 24
"""Cells per side of an object's raster, its box widened by `CORRECTION_MARGIN`."""

_MOST_PIXELS_PER_CELL = 1.5
"""Of a level of the pyramid: with more, point samples would skip some; with half as many, detail is still there."""

_SMALLEST_LEVEL_PX = 8


@dataclass(frozen=True, eq=False)
class Views:
    """K objects on their rasters of R x R cells, as the refiner sees them."""

    logits: Tensor
    """float32 (K, R, R): the masks' own."""
    maps: Tensor
    """float32 (K, C, R, R): prototypes, or what `Refiner.project` made of them."""
    pixels: Tensor
    """uint8 (K, R, R, 3): RGB."""
    sides: Tensor
    """float32 (K,): square root of the box's area, pixels of the network's input."""


def views(
    instances: Instances, maps: Tensor, image: npt.NDArray[np.uint8], place: Letterbox, *, raster: int = RASTER
) -> Views:
    """What the refiner sees of K objects.

    Args:
        instances: on any device, without corrections; their logits lie where the maps do.
        maps: float32 (C, Mh, Mw) over the network's input, on the same device: prototypes, or projected ones.
        image: uint8 (H, W, 3), the source image. The network's input shows less of small objects.
        place: how it lies in the input.
        raster: cells per side.
    """
    scale_x, scale_y, _, _ = place.to_image()
    extent = box_area(instances.boxes) / (scale_x * scale_y)
    grid = raster_grid(instances.boxes, place, raster=raster)
    pixels = torch.from_numpy(object_pixels(image, instances.boxes.numpy(force=True), raster=raster))
    count = len(instances)
    if not count:
        return Views(
            maps.new_zeros((0, raster, raster)), maps.new_zeros((0, len(maps), raster, raster)), pixels, extent
        )
    logits = _sampled(instances.mask_logits.float()[:, None], grid)[:, 0]  # (K, R, R)
    seen = _sampled(maps[None].expand(count, -1, -1, -1), grid)  # (K, C, R, R), of maps that are not copied for each
    return Views(logits, seen, pixels.to(maps.device), extent.sqrt())


def raster_grid(boxes: Tensor, place: Letterbox, *, raster: int = RASTER) -> Tensor:
    """Where the rasters of boxes (K, 4), in source pixels, lie in the network's input: float (K, R, R, 2).

    As `functional.grid_sample` wants it: x and y, from -1 at the input's left or upper border to 1 at its right or
    lower one.
    """
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    height, width = place.input_size
    scales = boxes.new_tensor([2 / (scale_x * width), 2 / (scale_y * height)] * 2)
    offsets = boxes.new_tensor([-2 * offset_x / (scale_x * width) - 1, -2 * offset_y / (scale_y * height) - 1] * 2)
    x, y = raster_points(boxes * scales + offsets, raster, margin=CORRECTION_MARGIN)  # (K, R) each
    grid = boxes.new_empty((len(boxes), raster, raster, 2))
    grid[..., 0], grid[..., 1] = x[:, None, :], y[:, :, None]
    return grid


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def object_pixels(
    image: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32], *, raster: int = RASTER
) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) on the rasters of boxes (K, 4): uint8 (K, R, R, 3).

    Each object is seen in the level of a pyramid of halves where a cell of its raster is about a pixel wide: a small
    one in full detail, a large one without the noise that single pixels would be. Beyond the border it continues.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    cells = (1 + 2 * CORRECTION_MARGIN) / raster * (high - low)  # (K, 2)
    places = (np.arange(raster, dtype=np.float32) + 0.5)[None, :, None]  # in cells
    points = (low - CORRECTION_MARGIN * (high - low))[:, None] + places * cells[:, None]  # (K, R, 2)
    levels = np.ceil(np.log2(np.maximum(np.sqrt(cells.prod(axis=1)) / _MOST_PIXELS_PER_CELL, 1)))  # (K,)
    pixels = np.empty((len(boxes), raster * raster, 3), dtype=np.uint8)
    source, level, left = image, 0, np.arange(len(boxes))
    while len(left):
        height, width = source.shape[:2]
        smallest = min(height, width) < 2 * _SMALLEST_LEVEL_PX
        here = left if smallest else left[levels[left] <= level]
        scale = np.array([width / image.shape[1], height / image.shape[0]], dtype=np.float32)
        if len(here):
            pixels[here] = _at(source, points[here] * scale - np.float32(0.5))
        left = left[:0] if smallest else left[levels[left] > level]
        if len(left):
            halved = cv2.resize(source, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            source, level = np.asarray(halved, dtype=np.uint8), level + 1
    return pixels.reshape(len(boxes), raster, raster, 3)


def _at(image: npt.NDArray[np.uint8], points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) at R x R points (K, R, 2) each, x and y, bilinear: uint8 (K, R * R, 3)."""
    count, raster = points.shape[:2]
    x = np.repeat(points[:, None, :, 0], raster, axis=1).reshape(count, -1)
    y = np.repeat(points[:, :, 1], raster, axis=1)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
