"""Propagated masks between the grid of cells and the pixels of the image."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.grid import GridTransform
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["cell_shares", "enlarged", "image_mask", "mask_iou", "tight_box"]

MAX_CHANNELS: Final = 64
"""Number of channels that are resized at once: OpenCV 5 accepts 128, OpenCV 4 accepts 512."""
SAMPLES: Final = 4
"""Samples per side of a cell."""


def image_mask(soft: Float32Array, to_image: GridTransform, image_size: tuple[int, int]) -> CropMask:
    """Return a soft mask as a binary one at the size of the image, interpolated between cell centres.

    Args:
        soft: (H, W), 0..1; a pixel is inside above 0.5.
        to_image: transform from the grid to the image.
        image_size: (H, W) of the image.

    Returns:
        The mask with its space; empty if no pixel is inside. Beyond the outermost cell centres, border cells continue.
    """
    space = MaskSpace.of(image_size)
    x, y, width, height = tight_box(soft > 0.5)
    if not width:
        return CropMask(np.zeros((0, 0), np.bool_), 0, 0, space)
    # Between two cell centres, interpolation stays below their maximum: no pixel farther than a cell is inside.
    top, bottom = max(y - 1, 0), min(y + height + 1, soft.shape[0])
    left, right = max(x - 1, 0), min(x + width + 1, soft.shape[1])
    # In whole pixels, which displaces outlines by half a pixel at most, and is several times as fast.
    x0, x1 = (round(cell * to_image.scale_x + to_image.offset_x) for cell in (left, right))
    y0, y1 = (round(cell * to_image.scale_y + to_image.offset_y) for cell in (top, bottom))
    if x1 <= x0 or y1 <= y0:
        return CropMask(np.zeros((0, 0), np.bool_), 0, 0, space)  # cells smaller than a pixel
    inside = np.asarray(cv2.resize(soft[top:bottom, left:right], (x1 - x0, y1 - y0))) > 0.5
    # The network's input may be padded.
    begin_x, begin_y = max(x0, 0), max(y0, 0)
    inside = inside[begin_y - y0 : max(image_size[0] - y0, 0), begin_x - x0 : max(image_size[1] - x0, 0)]
    x, y, width, height = tight_box(inside)
    if not width:
        return CropMask(np.zeros((0, 0), np.bool_), 0, 0, space)
    return CropMask(inside[y : y + height, x : x + width].copy(), begin_x + x, begin_y + y, space)


def tight_box(mask: BoolArray) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the tight box of a mask (H, W); 0 for an empty one."""
    if not mask.size:
        return 0, 0, 0, 0
    # Several times as fast as the ends of its rows and columns.
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return x, y, width, height


def cell_shares(mask: CropMask, to_image: GridTransform, size: tuple[int, int]) -> Float32Array:
    """Return how much of each cell of a grid of `size` (H, W) a mask at the size of the image covers, 0..1."""
    height, width = size
    if not mask.crop.size:
        return np.zeros(size, np.float32)
    scale_x, scale_y = to_image.scale_x / SAMPLES, to_image.scale_y / SAMPLES
    matrix = np.array(
        [
            [scale_x, 0, scale_x / 2 + to_image.offset_x - mask.x - 0.5],
            [0, scale_y, scale_y / 2 + to_image.offset_y - mask.y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    samples = cv2.warpAffine(mask.crop.astype(np.float32), matrix, (width * SAMPLES, height * SAMPLES), flags=flags)
    return np.asarray(cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def enlarged(soft: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Interpolate a soft mask (h, w), or T of them (h, w, T), on a finer grid of `size` (H, W) over the same area."""
    channels = soft.reshape(*soft.shape[:2], -1)
    parts = [
        # OpenCV drops a single channel.
        np.reshape(cv2.resize(channels[..., first : first + MAX_CHANNELS], size[::-1]), (*size, -1))
        for first in range(0, channels.shape[2], MAX_CHANNELS)
    ]
    return np.concatenate(parts, axis=2, dtype=np.float32).reshape(*size, *soft.shape[2:])


def mask_iou(first: CropMask, second: CropMask) -> float:
    """Return the IoU of two masks of one image; 0 if both are empty."""
    (x0, y0, x1, y1), (left, top, right, bottom) = first.crop_box, second.crop_box
    x, y = slice(int(max(x0, left)), int(min(x1, right))), slice(int(max(y0, top)), int(min(y1, bottom)))
    shared = 0
    if x.stop > x.start and y.stop > y.start:
        parts = [
            one.crop[y.start - one.y : y.stop - one.y, x.start - one.x : x.stop - one.x] for one in (first, second)
        ]
        shared = int(np.count_nonzero(parts[0] & parts[1]))
    return shared / max(first.area + second.area - shared, 1)
