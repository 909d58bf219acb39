"""What the refiner sees of each object, on a raster of its own."""

from __future__ import annotations

import math
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

_LEAST_PIXELS_PER_CELL = 0.75
"""Of the network's input, which is there already: below, a finer level is worth its while."""

_MOST_TIMES_FINER = 3.0
"""Levels down to this many times the input's scale need no others between: small objects skip a few pixels there."""

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
    instances: Instances,
    maps: Tensor,
    image: npt.NDArray[np.uint8],
    place: Letterbox,
    *,
    picture: npt.NDArray[np.uint8] | None = None,
    raster: int = RASTER,
) -> Views:
    """What the refiner sees of K objects.

    Args:
        instances: on any device, without corrections; their logits lie where the maps do.
        maps: float32 (C, Mh, Mw) over the network's input, on the same device: prototypes, or projected ones.
        image: uint8 (H, W, 3), the source image. The network's input shows less of small objects.
        place: how it lies in the input.
        picture: uint8 (h, w, 3), the input itself; where it is given, large objects are seen in it.
        raster: cells per side.
    """
    top, left, (rows, columns) = place.top, place.left, place.scaled_size
    small = None if picture is None else picture[top : top + rows, left : left + columns]
    scale_x, scale_y, _, _ = place.to_image()
    extent = box_area(instances.boxes) / (scale_x * scale_y)
    grid = raster_grid(instances.boxes, place, raster=raster)
    pixels = torch.from_numpy(object_pixels(image, instances.boxes.numpy(force=True), small=small, raster=raster))
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
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.float32],
    *,
    small: npt.NDArray[np.uint8] | None = None,
    raster: int = RASTER,
) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) on the rasters of boxes (K, 4): uint8 (K, R, R, 3).

    Each object is seen in the level of a pyramid where a cell of its raster is about a pixel wide: a small one in full
    detail, a large one without the noise that single pixels would be. Beyond the border it continues.

    Args:
        image: uint8 (H, W, 3).
        boxes: float32 (K, 4) xyxy, in its pixels.
        small: uint8 (h, w, 3), the same made smaller: a level that need not be computed.
        raster: cells per side.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    cells = (1 + 2 * CORRECTION_MARGIN) / raster * (high - low)  # (K, 2)
    places = (np.arange(raster, dtype=np.float32) + 0.5)[None, :, None]  # in cells
    points = (low - CORRECTION_MARGIN * (high - low))[:, None] + places * cells[:, None]  # (K, R, 2)
    extents = np.sqrt(cells.prod(axis=1))  # (K,)
    pixels = np.empty((len(boxes), raster * raster, 3), dtype=np.uint8)
    level, left = image, np.arange(len(boxes))
    while len(left):
        height, width = level.shape[:2]
        scale = np.array([width / image.shape[1], height / image.shape[0]], dtype=np.float32)
        finer = 0.0 if small is None else math.sqrt(height * width / (small.shape[0] * small.shape[1]))
        most = _MOST_PIXELS_PER_CELL
        if small_is_next := 1 < finer <= _MOST_TIMES_FINER:
            most = max(most, _LEAST_PIXELS_PER_CELL * finer)
        elif min(height, width) < 2 * _SMALLEST_LEVEL_PX:
            most = math.inf
        seen_here = extents[left] * math.sqrt(scale.prod()) <= most
        here, left = left[seen_here], left[~seen_here]
        if len(here):
            pixels[here] = _at(level, points[here] * scale - np.float32(0.5))
        if small is not None and small_is_next:
            level = small
        elif len(left):
            halved = cv2.resize(level, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            level = np.asarray(halved, dtype=np.uint8)
    return pixels.reshape(len(boxes), raster, raster, 3)


def _at(image: npt.NDArray[np.uint8], points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) at R x R points (K, R, 2) each, x and y, bilinear: uint8 (K, R * R, 3)."""
    count, raster = points.shape[:2]
    x = np.repeat(points[:, None, :, 0], raster, axis=1).reshape(count, -1)
    y = np.repeat(points[:, :, 1], raster, axis=1)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
