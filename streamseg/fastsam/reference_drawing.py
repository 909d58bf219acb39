"""The picture that the official FastSAM program makes of its answers.

Flat colours without outlines, the smallest mask on top; outlines of everything in blue where they are
asked for; boxes and points of the prompts. The colours are the caller's: there, they are random each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.drawing.overlay import Colour, colour_of
from streamseg.structures.message import CropMask

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
"""Of every mask where the colours shall not differ."""


def draw_reference(
    image: npt.NDArray[np.uint8],
    masks: Sequence[CropMask],
    *,
    mask_size: tuple[int, int] | None = None,
    colours: Sequence[Colour] | None = None,
    with_contours: bool = False,
    boxes: Sequence[Sequence[float]] = (),
    point_coords: Sequence[Sequence[float]] = (),
    point_labels: Sequence[int] = (),
) -> npt.NDArray[np.uint8]:
    """A copy of a picture with masks on it, as the official `plot` has it.

    Args:
        image: (H, W, 3) RGB.
        masks: K of them; none gives a plain copy (there: an error).
        mask_size: (H, W) that the masks are in, stretched over the picture to the nearest pixel; None: the
            picture's own.
        colours: one per mask; None: told apart by row, and the same each time.
        with_contours: outlines, inner ones too.
        boxes: (B, 4) xyxy in the picture, of the prompts.
        point_coords: (P, 2) x, y in the picture, of the prompts.
        point_labels: (P,) 1 yellow, 0 magenta; others are not drawn.
    """
    size = image.shape[0], image.shape[1]
    within = size if mask_size is None else mask_size
    palette = np.array([colour_of(row) for row in range(len(masks))] if colours is None else colours, dtype=np.float32)
    canvas = image.copy()
    if masks:
        rows = _stretched(topmost_rows(masks, within), size)
        seen = rows >= 0
        canvas[seen] = np.rint(canvas[seen] * (1 - MASK_OPACITY) + palette[rows[seen]] * MASK_OPACITY)
    if with_contours:
        drawn = contour_pixels(masks, size, mask_size=within)
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
    """Which mask is seen in each pixel: int32 (H, W), -1 for none. Of several the smallest; of equal ones the first."""
    rows = np.full(size, -1, dtype=np.int32)
    areas = [mask.area for mask in masks]
    for row in sorted(range(len(masks)), key=lambda row: (-areas[row], -row)):
        mask = masks[row]
        height, width = mask.crop.shape
        rows[mask.y : mask.y + height, mask.x : mask.x + width][mask.crop] = row
    return rows


def contour_pixels(
    masks: Sequence[CropMask], size: tuple[int, int], *, mask_size: tuple[int, int] | None = None
) -> npt.NDArray[np.bool_]:
    """Where `with_contours` draws: bool (H, W). Around every mask and every hole, also below other masks.

    Args:
        masks: K of them; none draws nothing.
        size: (H, W) of the picture.
        mask_size: (H, W) that the masks are in; None: the picture's own.
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
    """Pixels (h, w) at another size (H, W), each the nearest one."""
    if pixels.shape == size:
        return pixels
    return cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)  # type: ignore[return-value]
