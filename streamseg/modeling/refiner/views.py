"""The refiner's inputs: logits, maps and pixels of each object, sampled on its own raster."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import Letterbox, box_area
from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import WIDENED_CELLS

__all__ = [
    "REFINER_RASTER",
    "ObjectViews",
    "PyramidLevel",
    "object_pixels",
    "object_views",
    "pyramid_levels",
    "raster_grid",
    "raster_sides",
]

REFINER_RASTER = WIDENED_CELLS
"""Cells per side of an object's raster, its box widened by `CORRECTION_MARGIN`."""

_MAX_PIXELS_PER_CELL = 1.5
"""Upper limit for a pyramid level: above it, point samples skip pixels; at half of it, detail is still preserved."""

_MIN_PIXELS_PER_CELL = 0.75
"""Lower limit for the network's input, which needs no computation: below it, a finer level pays off."""

_MAX_SCALE_STEP = 3.0
"""Up to this scale relative to the input, no level is inserted in between: small objects skip a few pixels there."""

_MIN_LEVEL_PX = 8


@dataclass(frozen=True, eq=False)
class ObjectViews:
    """K objects sampled on their rasters of R x R cells."""

    logits: Tensor
    """float32 (K, R, R): mask logits."""
    maps: Tensor
    """float32 (K, C, R, R): prototypes, or their projection by `Refiner.project`."""
    pixels: Tensor
    """uint8 (K, R, R, 3): RGB."""
    sides: Tensor
    """float32 (K,): square root of the box area, pixels of the network's input."""


def object_views(
    instances: Instances,
    maps: Tensor,
    image: ImageArray,
    place: Letterbox,
    *,
    input_image: ImageArray | None = None,
    raster: int = REFINER_RASTER,
) -> ObjectViews:
    """Sample the refiner's inputs for K objects.

    Args:
        instances: K objects on any device, without corrections; their logits and the maps share one grid.
        maps: float32 (C, Mh, Mw) over the network's input, on the same device: prototypes, original or projected.
        image: uint8 (H, W, 3), the source image, which shows small objects in more detail than the network's input.
        place: placement of the source image in the network's input.
        input_image: uint8 (h, w, 3), the network's input; if given, large objects are sampled from it.
        raster: cells per side.
    """
    top, left, (rows, columns) = place.top, place.left, place.scaled_size
    small = None if input_image is None else input_image[top : top + rows, left : left + columns]
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
    sampled = _sampled(maps[None].expand(count, -1, -1, -1), grid)  # (K, C, R, R), maps are not copied
    return ObjectViews(logits, sampled, pixels.to(maps.device), extent.sqrt())


def raster_sides(boxes: Float32Array, raster: int = REFINER_RASTER) -> Float32Array:
    """Return the cell centres of the rasters of boxes (K, 4) xyxy: float32 (K, R, 2), x per column and y per row."""
    # As `geometry.raster_points`, but in NumPy: at this size, the overhead of torch's calls exceeds the work.
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    share = (np.arange(raster)[:, None] + 0.5) / raster * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN  # (R, 1)
    return low + (high - low) * share.astype(np.float32)


def raster_grid(sides: Float32Array, place: Letterbox) -> Float32Array:
    """Convert `raster_sides` (K, R, 2), source pixels, to a sampling grid (K, R, R, 2) over the network's input.

    The grid has the format of `functional.grid_sample`: x and y, from -1 at the input's left or upper border to 1 at
    its right or lower border.
    """
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    height, width = place.input_size
    sizes = np.array([2 / (scale_x * width), 2 / (scale_y * height)], dtype=np.float32)
    return _cells(sides * sizes - (np.array([offset_x, offset_y], dtype=np.float32) * sizes + 1))


def _cells(sides: Float32Array) -> Float32Array:
    """Return x and y of each cell (K, R, R, 2), top row first, from x per column and y per row (K, R, 2)."""
    count, raster = sides.shape[:2]
    cells = np.empty((count, raster, raster, 2), dtype=np.float32)
    cells[..., 0], cells[..., 1] = sides[:, None, :, 0], sides[:, :, None, 1]
    return cells


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def object_pixels(image: ImageArray, sides: Float32Array, *, small: ImageArray | None = None) -> npt.NDArray[np.uint8]:
    """Sample an image (H, W, 3) on the rasters of objects: uint8 (K, R, R, 3).

    Each object is sampled from the pyramid level in which a cell of its raster is about one pixel wide: small objects
    in full detail, large objects without the noise of single pixels. Beyond the image, border pixels are repeated.

    Args:
        image: uint8 (H, W, 3).
        sides: float32 (K, R, 2), the objects' `raster_sides`; R is at least 2.
        small: uint8 (h, w, 3), a downscaled copy of the image that serves as a precomputed level.
    """
    count, raster = sides.shape[:2]
    cell = sides[:, 1] - sides[:, 0]  # (K, 2)
    extents = np.sqrt(cell[:, 0] * cell[:, 1])  # (K,) pixels per cell
    pixels = np.empty((count, raster * raster, 3), dtype=np.uint8)
    level, pending = image, np.arange(count)
    for step in pyramid_levels(image.shape[:2], None if small is None else small.shape[:2]):
        if not len(pending):
            break
        height, width = step.size
        if step.origin == "input" and small is not None:
            level = small
        elif step.origin == "halved":
            level = np.asarray(cv2.resize(level, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        scale_x, scale_y = np.float32(width / image.shape[1]), np.float32(height / image.shape[0])
        is_here = extents[pending] * math.sqrt(scale_x * scale_y) <= step.limit
        if not is_here.any():
            continue
        here, pending = pending[is_here], pending[~is_here]
        at = _cells(sides[here] * np.array([scale_x, scale_y]) - np.float32(0.5)).reshape(len(here), -1, 2)
        pixels[here] = cv2.remap(  # one map of both coordinates
            level,
            at,
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,  # type: ignore[call-overload]
        )
    return pixels.reshape(count, raster, raster, 3)


class PyramidLevel(NamedTuple):
    """One level of the pyramid that `object_pixels` samples."""

    origin: Literal["image", "input", "halved"]
    """The source image, the network's input, or the previous level at half its size."""
    size: tuple[int, int]
    """(H, W)."""
    limit: float
    """Maximum number of pixels per cell of objects that are sampled from this level; infinite for the last one."""


def pyramid_levels(image_size: tuple[int, int], small_size: tuple[int, int] | None) -> list[PyramidLevel]:
    """Return the levels, finest first; an object is sampled from the first one whose limit it keeps.

    Args:
        image_size: (H, W) of the source image.
        small_size: (H, W) of the downscaled copy, a level that needs no computation; None if there is none.
    """
    levels: list[PyramidLevel] = []
    origin: Literal["image", "input", "halved"] = "image"
    height, width = image_size
    while True:
        finer = 0.0 if small_size is None else math.sqrt(height * width / (small_size[0] * small_size[1]))
        limit = _MAX_PIXELS_PER_CELL
        if small_is_next := 1 < finer <= _MAX_SCALE_STEP:
            limit = max(limit, _MIN_PIXELS_PER_CELL * finer)
        elif min(height, width) < 2 * _MIN_LEVEL_PX:
            limit = math.inf
        levels.append(PyramidLevel(origin, (height, width), limit))
        if limit == math.inf:
            return levels
        if small_size is not None and small_is_next:
            origin, (height, width) = "input", small_size
        else:
            origin, (height, width) = "halved", (height // 2, width // 2)
