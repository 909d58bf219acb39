"""Overlays of masks in a fixed colour per identity, with outlines and labels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject

__all__ = ["Colour", "colour_of", "draw_message", "draw_objects"]

Colour = tuple[int, int, int]
"""(red, green, blue), 0..255."""

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Colours that are distinguishable with any colour vision (Okabe & Ito 2008, without black)."""

TENTATIVE: Colour = (190, 190, 190)
"""Colour of objects without an identity."""

OPACITY = 0.45
OUTLINE_PX_AT_720 = 1.6
"""Width of the outline in pixels, for an image whose short side is 720 pixels."""


def colour_of(track_id: int) -> Colour:
    """Return the fixed colour of an identity, or grey for a tentative object (-1).

    The palette repeats with a different brightness, because the first 21 identities should differ.
    """
    if track_id < 0:
        return TENTATIVE
    red, green, blue = PALETTE[track_id % len(PALETTE)]
    gain = (1.0, 0.72, 0.5)[track_id // len(PALETTE) % 3]
    return round(red * gain), round(green * gain), round(blue * gain)


def draw_message(image: ImageArray, message: Message) -> ImageArray:
    """Return a copy of the image (H, W, 3) with the objects of its message."""
    return draw_objects(image, message.objects, mask_size=message.mask_size)


def draw_objects(
    image: ImageArray,
    objects: Sequence[MessageObject],
    *,
    mask_size: tuple[int, int] | None = None,
    colours: Sequence[Colour] | None = None,
) -> ImageArray:
    """Return a copy of an image with objects drawn over it: small objects on top of large ones.

    Args:
        image: (H, W, 3).
        objects: the objects to draw; an empty sequence returns a plain copy.
        mask_size: (H, W) of the image that the masks refer to; None: the size of `image`.
        colours: one per object; None: the colour of each identity.
    """
    canvas = image.copy()
    height, width = image.shape[:2]
    thickness = max(1, round(OUTLINE_PX_AT_720 * min(height, width) / 720))
    if colours is None:
        colours = [colour_of(one.track_id) for one in objects]
    ordered = sorted(zip(objects, colours, strict=True), key=lambda pair: -pair[0].area)
    for one, colour in ordered:
        _fill(canvas, _at_size(one.mask, mask_size or (height, width), (height, width)), colour, thickness)
    for one, colour in ordered:
        _label(canvas, one, colour)
    return canvas


def _at_size(mask: CropMask, mask_size: tuple[int, int], image_size: tuple[int, int]) -> CropMask:
    """Scale a mask to the pixels of the image."""
    if mask_size == image_size or not mask.crop.size:
        return mask
    scale_y, scale_x = image_size[0] / mask_size[0], image_size[1] / mask_size[1]
    height, width = mask.crop.shape
    x0, y0 = round(mask.x * scale_x), round(mask.y * scale_y)
    x1 = min(max(round((mask.x + width) * scale_x), x0 + 1), image_size[1])
    y1 = min(max(round((mask.y + height) * scale_y), y0 + 1), image_size[0])
    crop = cv2.resize(mask.crop.astype(np.uint8), (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    return CropMask(crop.astype(np.bool_), x0, y0)


def _fill(canvas: ImageArray, mask: CropMask, colour: Colour, thickness: int) -> None:
    height, width = mask.crop.shape
    if not height or not width:
        return
    region = canvas[mask.y : mask.y + height, mask.x : mask.x + width]
    tinted = cv2.addWeighted(region, 1 - OPACITY, np.full_like(region, colour), OPACITY, 0)
    cv2.copyTo(tinted, mask.crop.astype(np.uint8), region)
    # A margin of one pixel closes outlines along the edge of the crop.
    padded = cv2.copyMakeBorder(mask.crop.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    # Straight pieces as one line each: a line per pixel took two thirds of the time of a frame's drawing.
    contours, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(mask.x - 1, mask.y - 1))
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)


def _label(canvas: ImageArray, one: MessageObject, colour: Colour) -> None:
    """Draw the identity and label at the upper left of the object, readable on any background."""
    if one.track_id < 0 and one.label is None:
        return
    words = [str(one.track_id)] if one.track_id >= 0 else []
    text = " ".join([*words, *([one.label] if one.label else [])])
    scale = max(0.4, min(canvas.shape[:2]) / 1600)
    (text_width, text_height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = int(np.clip(one.box[0], 0, max(canvas.shape[1] - text_width - 4, 0)))
    y = int(np.clip(one.box[1], 0, max(canvas.shape[0] - text_height - baseline - 4, 0)))
    corner = (x + text_width + 4, y + text_height + baseline + 2)
    cv2.rectangle(canvas, (x, y), corner, colour, cv2.FILLED)
    bright = sum(colour) > 380
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(canvas, text, (x + 2, y + text_height + 1), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
