"""The output image of the official FastSAM program.

Flat colours, the smallest mask on top; optional blue outlines of every mask; boxes and points of the prompts. The
caller chooses the colours; in the official program they are random at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.drawing.overlay import Colour, colour_of
from streamseg.structures.arrays import BoolArray, ImageArray
from streamseg.structures.mask import CropMask

__all__ = ["contour_pixels", "draw_reference", "topmost_rows"]

Kind = TypeVar("Kind", np.uint8, np.int32)

MASK_OPACITY = 0.6
CONTOUR: Colour = (0, 0, 255)
CONTOUR_OPACITY = 0.8
CONTOUR_PX = 2
BOX: Colour = (0, 0, 255)
FOREGROUND: Colour = (191, 191, 0)
BACKGROUND: Colour = (191, 0, 191)
POINT_RADIUS_PX = 3
ONE_COLOUR: Colour = (30, 144, 255)
"""Colour of all masks if they share one colour."""


def draw_reference(
    image: ImageArray,
    masks: Sequence[CropMask],
    *,
    mask_size: tuple[int, int] | None = None,
    colours: Sequence[Colour] | None = None,
    with_contours: bool = False,
    boxes: Sequence[Sequence[float]] = (),
    point_coords: Sequence[Sequence[float]] = (),
    point_labels: Sequence[int] = (),
) -> ImageArray:
    """Draw masks and prompts on a copy of an image, as the official `plot` does.

    Args:
        image: (H, W, 3) RGB.
        masks: K masks; an empty list gives a plain copy (the official program raises).
        mask_size: (H, W) of the masks, stretched over the image by nearest neighbour; None: the size of the image.
        colours: one per mask; None: a fixed colour per row number, the same at each call.
        with_contours: draw outlines, including those of holes.
        boxes: (B, 4) xyxy in pixels of the image; boxes of the prompts.
        point_coords: (P, 2) x, y in pixels of the image; points of the prompts.
        point_labels: (P,) 1 yellow, 0 magenta; points with other labels are not drawn.
    """
    size = image.shape[0], image.shape[1]
    space = size if mask_size is None else mask_size
    palette = np.array([colour_of(row) for row in range(len(masks))] if colours is None else colours, dtype=np.float32)
    canvas = image.copy()
    if masks:
        rows = _stretched(topmost_rows(masks, space), size)
        covered = rows >= 0
        canvas[covered] = np.rint(canvas[covered] * (1 - MASK_OPACITY) + palette[rows[covered]] * MASK_OPACITY)
    if with_contours:
        drawn = contour_pixels(masks, size, mask_size=space)
        canvas[drawn] = np.rint(
            canvas[drawn] * (1 - CONTOUR_OPACITY) + np.array(CONTOUR, dtype=np.float32) * CONTOUR_OPACITY
        )
    for x0, y0, x1, y1 in boxes:
        cv2.rectangle(canvas, (round(x0), round(y0)), (round(x1), round(y1)), BOX, 1)
    for (x, y), label in zip(point_coords, point_labels, strict=True):
        if label in (0, 1):
            colour = FOREGROUND if label == 1 else BACKGROUND
            cv2.circle(canvas, (round(x), round(y)), POINT_RADIUS_PX, colour, cv2.FILLED, cv2.LINE_AA)
    return canvas


def topmost_rows(masks: Sequence[CropMask], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Return the row of the topmost mask in each pixel: int32 (H, W), -1 for none.

    The smallest mask is on top; of masks of the same area, the first.
    """
    rows = np.full(size, -1, dtype=np.int32)
    areas = [mask.area for mask in masks]
    for row in sorted(range(len(masks)), key=lambda row: (-areas[row], -row)):
        mask = masks[row]
        height, width = mask.crop.shape
        rows[mask.y : mask.y + height, mask.x : mask.x + width][mask.crop] = row
    return rows


def contour_pixels(
    masks: Sequence[CropMask], size: tuple[int, int], *, mask_size: tuple[int, int] | None = None
) -> BoolArray:
    """Return the pixels that `with_contours` draws: bool (H, W), around every mask and hole, also below other masks.

    Args:
        masks: K masks; an empty list has no contours.
        size: (H, W) of the image.
        mask_size: (H, W) of the masks; None: the size of the image.
    """
    canvas = np.zeros(size, dtype=np.uint8)
    for mask in masks:
        pixels, offset = mask.crop.astype(np.uint8), (mask.x, mask.y)
        if mask_size is not None and mask_size != size:
            pixels, offset = _stretched(mask.full(mask_size).astype(np.uint8), size), (0, 0)
        if pixels.any():
            contours, _ = cv2.findContours(pixels, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE, offset=offset)
            cv2.drawContours(canvas, contours, -1, 1, CONTOUR_PX)
    return canvas.astype(np.bool_)


def _stretched(pixels: npt.NDArray[Kind], size: tuple[int, int]) -> npt.NDArray[Kind]:
    """Resize pixels (h, w) to (H, W) by nearest neighbour."""
    if pixels.shape == size:
        return pixels
    return cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)  # type: ignore[return-value]
