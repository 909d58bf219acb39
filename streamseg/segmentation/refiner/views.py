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
    logits = _sampled(instances.mask_logits.float()[:, None], grid)  # (K, 1, R, R)
    # All objects as one tall raster: the maps need not be repeated for each.
    tall = _sampled(maps[None], grid.reshape(1, count * raster, raster, 2))  # (1, C, K * R, R)
    seen = tall.view(len(maps), count, raster, raster).transpose(0, 1)
    return Views(logits[:, 0], seen, pixels.to(maps.device), extent.sqrt())


def raster_grid(boxes: Tensor, place: Letterbox, *, raster: int = RASTER) -> Tensor:
    """Where the rasters of boxes (K, 4), in source pixels, lie in the network's input: float (K, R, R, 2).

    As `functional.grid_sample` wants it: x and y, from -1 at the input's left or upper border to 1 at its right or
    lower one.
    """
    x, y = raster_points(boxes, raster, margin=CORRECTION_MARGIN)  # (K, R) each
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    height, width = place.input_size
    across = (x - offset_x) / scale_x / width * 2 - 1
    down = (y - offset_y) / scale_y / height * 2 - 1
    return torch.stack([across[:, None, :].expand(-1, raster, -1), down[:, :, None].expand(-1, -1, raster)], dim=-1)


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def object_pixels(
    image: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32], *, raster: int = RASTER
) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) on the rasters of boxes (K, 4): uint8 (K, R, R, 3).

    Each object is seen in the level of a pyramid of halves where a cell of its raster is about a pixel wide: a small
    one in full detail, a large one without the noise that single pixels would be. Beyond the border it continues.
    """
    pixels = np.empty((len(boxes), raster, raster, 3), dtype=np.uint8)
    pyramid = [image]
    for row, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        margin_x, margin_y = CORRECTION_MARGIN * (x1 - x0), CORRECTION_MARGIN * (y1 - y0)
        cell_x, cell_y = (x1 - x0 + 2 * margin_x) / raster, (y1 - y0 + 2 * margin_y) / raster
        level, cell = 0, (cell_x * cell_y) ** 0.5
        while cell > _MOST_PIXELS_PER_CELL and min(pyramid[level].shape[:2]) >= 2 * _SMALLEST_LEVEL_PX:
            level, cell = level + 1, cell / 2
            if level == len(pyramid):
                height, width = pyramid[-1].shape[:2]
                halved = cv2.resize(pyramid[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
                pyramid.append(np.asarray(halved, dtype=np.uint8))
        source = pyramid[level]
        scale_x, scale_y = source.shape[1] / image.shape[1], source.shape[0] / image.shape[0]
        matrix = np.array(
            [
                [cell_x * scale_x, 0.0, (x0 - margin_x + cell_x / 2) * scale_x - 0.5],
                [0.0, cell_y * scale_y, (y0 - margin_y + cell_y / 2) * scale_y - 0.5],
            ]
        )
        cv2.warpAffine(
            source,
            matrix,
            (raster, raster),
            dst=pixels[row],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return pixels
