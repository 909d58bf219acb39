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

from streamseg.geometry import Letterbox, box_area
from streamseg.structures.instances import CORRECTION_MARGIN, Instances

__all__ = ["REFINER_RASTER", "Views", "object_pixels", "raster_grid", "raster_sides", "views"]

Floats = npt.NDArray[np.float32]

REFINER_RASTER = 24
"""Cells per side of an object's raster, its box widened by `CORRECTION_MARGIN`."""

_MOST_PIXELS_PER_CELL = 1.5
"""Of a level of the pyramid: with more, point samples would skip some; with half as many, detail is still there."""

_LEAST_PIXELS_PER_CELL = 0.75
"""Of the network's input, which is there already: below, a finer level is worth its while."""

_MOST_TIMES_FINER = 3.0
"""Levels down to this many times the input's scale need no others between: small objects skip a few pixels there."""

_SMALLEST_LEVEL_PX = 8


@dataclass(frozen=True, eq=False)
class ObjectViews:
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
    raster: int = REFINER_RASTER,
) -> ObjectViews:
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
    sides = raster_sides(instances.boxes.numpy(force=True), raster)
    grid = torch.from_numpy(raster_grid(sides, place)).to(maps.device)
    pixels = torch.from_numpy(object_pixels(image, sides, small=small))
    count = len(instances)
    if not count:
        return ObjectViews(
            maps.new_zeros((0, raster, raster)), maps.new_zeros((0, len(maps), raster, raster)), pixels, extent
        )
    logits = _sampled(instances.mask_logits.float()[:, None], grid)[:, 0]  # (K, R, R)
    seen = _sampled(maps[None].expand(count, -1, -1, -1), grid)  # (K, C, R, R), of maps that are not copied for each
    return ObjectViews(logits, seen, pixels.to(maps.device), extent.sqrt())


def raster_sides(boxes: Floats, raster: int = REFINER_RASTER) -> Floats:
    """Where the rasters of boxes (K, 4) xyxy have their cells: float32 (K, R, 2), x of each column and y of each row.

    Of their centres.
    """
    # What `geometry.raster_points` says of tensors: at this size torch's calls take longer than the work.
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    share = (np.arange(raster)[:, None] + 0.5) / raster * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN  # (R, 1)
    return low + (high - low) * share.astype(np.float32)


def raster_grid(sides: Floats, place: Letterbox) -> Floats:
    """Where the cells with `raster_sides` (K, R, 2), in source pixels, lie in the network's input: (K, R, R, 2).

    As `functional.grid_sample` wants it: x and y, from -1 at the input's left or upper border to 1 at its right or
    lower one.
    """
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    height, width = place.input_size
    sizes = np.array([2 / (scale_x * width), 2 / (scale_y * height)], dtype=np.float32)
    return _cells(sides * sizes - (np.array([offset_x, offset_y], dtype=np.float32) * sizes + 1))


def _cells(sides: Floats) -> Floats:
    """Each cell's x and y (K, R, R, 2), rows from the top, of x of each column and y of each row (K, R, 2)."""
    count, raster = sides.shape[:2]
    cells = np.empty((count, raster, raster, 2), dtype=np.float32)
    cells[..., 0], cells[..., 1] = sides[:, None, :, 0], sides[:, :, None, 1]
    return cells


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def object_pixels(
    image: npt.NDArray[np.uint8], sides: Floats, *, small: npt.NDArray[np.uint8] | None = None
) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) on the rasters of objects: uint8 (K, R, R, 3).

    Each object is seen in the level of a pyramid where a cell of its raster is about a pixel wide: a small one in full
    detail, a large one without the noise that single pixels would be. Beyond the border it continues.

    Args:
        image: uint8 (H, W, 3).
        sides: float32 (K, R, 2), the objects' `raster_sides`; R at least 2.
        small: uint8 (h, w, 3), the same made smaller: a level that need not be computed.
    """
    count, raster = sides.shape[:2]
    extents = np.sqrt((sides[:, 1] - sides[:, 0]).prod(axis=1))  # (K,) pixels per cell
    pixels = np.empty((count, raster, raster, 3), dtype=np.uint8)
    level, left = image, np.arange(count)
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
            at = _cells(sides[here] * scale - np.float32(0.5)).reshape(len(here), -1, 2)  # (k, R * R, 2)
            seen = cv2.remap(  # one map of both coordinates
                level,
                at,
                None,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,  # type: ignore[call-overload]
            )
            pixels[here] = seen.reshape(len(here), raster, raster, 3)
        if small is not None and small_is_next:
            level = small
        elif len(left):
            halved = cv2.resize(level, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            level = np.asarray(halved, dtype=np.uint8)
    return pixels
