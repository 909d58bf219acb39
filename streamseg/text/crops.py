"""Objects as the image encoder sees them: squares with some context, in which the object stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from streamseg.geometry import sample_logits
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.text.encoders import Encoders

__all__ = ["CropStyle", "encoder_crops", "object_crops"]

DIMMED: Final = 0.3
"""Share of the picture that is left where it is dimmed; the rest is the fill colour."""

BLUR_CELLS: Final = 14
"""A blurred background has the detail of so many cells along a side: colours and places stay, shapes go."""

MASK_RASTER: Final = 64
"""Mask logits are sampled at so many places along a side, and interpolated between them. The grid of the network has
160 cells for the whole picture, so that a crop of an object seldom has more."""

MIN_SIDE_PX: Final = 8
"""Of the square in the picture; smaller objects get more context."""


@dataclass(frozen=True)
class CropStyle:
    """What a crop shows besides the object.

    A blurred background is the best hint for CLIP among colours, circles, boxes and crops in "Fine-Grained Visual
    Prompting" (Yang et al. 2023, arXiv 2306.04356).
    """

    context: float = 0.2
    """How far it reaches beyond the box on each side, as a share of the box's longer side."""
    background: Literal["dim", "blur", "fill", "keep"] = "blur"
    """What becomes of the pixels around the object; keep: they stay."""
    colour: tuple[int, int, int] = (0, 0, 0)
    """RGB that fills what lies outside the picture, and the background."""


def object_crops(
    image: npt.NDArray[np.uint8],
    instances: Instances,
    rows: Sequence[int],
    *,
    size: int,
    style: CropStyle,
    resize: Literal["bilinear", "bicubic"] = "bicubic",
) -> npt.NDArray[np.uint8]:
    """Crops of some objects.

    A crop is a square around the box, moved into the picture as far as it fits; what still lies outside is filled.
    An object whose mask is empty shows without a change of its background.

    Args:
        image: uint8 (H, W, 3) RGB.
        instances: K objects of that picture.
        rows: which of them, N.
        size: S, side of the crops in pixels.
        style: what they show besides the object.
        resize: how pixels are interpolated; of crops less than half as large, the mean over the area is taken first.

    Returns:
        uint8 (N, S, S, 3); N may be 0.
    """
    height, width = image.shape[:2]
    if instances.image_size != (height, width):
        raise ValueError(f"instances of a picture of {instances.image_size} do not belong to one of {(height, width)}")
    crops = np.empty((len(rows), size, size, 3), np.uint8)
    if not len(rows):
        return crops
    boxes = instances.boxes[list(rows)].numpy(force=True).astype(np.float64)
    squares = _squares(boxes, (height, width), style.context)
    masks = None if style.background == "keep" else _masks(instances, rows, boxes, squares, size)
    fill = np.full((size, size, 3), style.colour, np.uint8)
    for crop, (left, top, side), position in zip(crops, squares.tolist(), range(len(rows)), strict=True):
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        scale = size / side
        across, down = (round((x - left) * scale) for x in (x0, x1)), (round((y - top) * scale) for y in (y0, y1))
        (begin_x, end_x), (begin_y, end_y) = across, down
        shape = max(end_x - begin_x, 1), max(end_y - begin_y, 1)
        resized = _resized(image[y0:y1, x0:x1], shape, cv2.INTER_CUBIC if resize == "bicubic" else cv2.INTER_LINEAR)
        if shape != (size, size):
            crop[:] = fill
        crop[begin_y : begin_y + shape[1], begin_x : begin_x + shape[0]] = resized
        if masks is None or not masks[position].any():
            continue
        background = fill.copy()
        if style.background == "blur":
            cells = cv2.resize(crop, (BLUR_CELLS, BLUR_CELLS), interpolation=cv2.INTER_AREA)
            cv2.resize(cells, (size, size), dst=background, interpolation=cv2.INTER_LINEAR)
        elif style.background == "dim":
            cv2.addWeighted(crop, DIMMED, fill, 1 - DIMMED, 0, dst=background)
        cv2.copyTo(crop, masks[position].view(np.uint8), background)
        crop[:] = background
    return crops


def neutral_colour(encoders: Encoders) -> tuple[int, int, int]:
    """RGB that the image encoder takes for nothing in particular."""
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in encoders.description.mean)
    return red, green, blue


def encoder_crops(
    encoders: Encoders,
    image: npt.NDArray[np.uint8],
    instances: Instances,
    rows: Sequence[int],
    *,
    context: float,
    background: Literal["dim", "blur", "fill"],
    colour: tuple[int, int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Some objects of a picture as the image encoder takes them.

    Args:
        encoders: of pictures and words.
        image: uint8 (H, W, 3) RGB.
        instances: K objects of that picture.
        rows: which of them, N.
        context: see `CropStyle`.
        background: see `CropStyle`.
        colour: see `CropStyle`; None: `neutral_colour`.

    Returns:
        uint8 (N, S, S, 3) RGB; N may be 0.
    """
    description = encoders.description
    style = CropStyle(context, background, neutral_colour(encoders) if colour is None else colour)
    return object_crops(image, instances, rows, size=description.image_size, style=style, resize=description.resize)


def _resized(window: npt.NDArray[np.uint8], shape: tuple[int, int], interpolation: int) -> npt.NDArray[np.uint8]:
    """Pixels of (width, height) `shape`."""
    height, width = window.shape[:2]
    factor = min(width // shape[0], height // shape[1])
    if factor >= 2:
        # The mean over whole pixels first; over parts of pixels it takes ten times as long. What is cut off at the
        # right and below is less than a pixel of the crop.
        width, height = width // factor, height // factor
        window = cv2.resize(  # type: ignore[assignment]
            window[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA
        )
    return cv2.resize(window, shape, interpolation=interpolation)  # type: ignore[return-value]


def _squares(boxes: npt.NDArray[np.float64], image_size: tuple[int, int], context: float) -> npt.NDArray[np.int64]:
    """(N, 3): left, top and side in whole pixels."""
    extent = boxes[:, 2:] - boxes[:, :2]
    side = np.maximum(np.ceil(extent.max(axis=1) * (1 + 2 * context)), MIN_SIDE_PX)
    corner = np.round((boxes[:, 2:] + boxes[:, :2] - side[:, None]) / 2)
    free = np.array(image_size[::-1]) - side[:, None]
    # A square that does not fit is centred on the picture, so that both edges are filled alike.
    corner = np.where(free >= 0, np.clip(corner, 0, np.maximum(free, 0)), np.round(free / 2))
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.int64)


def _masks(
    instances: Instances,
    rows: Sequence[int],
    boxes: npt.NDArray[np.float64],
    squares: npt.NDArray[np.int64],
    size: int,
) -> npt.NDArray[np.bool_]:
    """Which pixels of each square are the object's: bool (N, size, size)."""
    places = torch.arange(MASK_RASTER).add(0.5) / MASK_RASTER
    left, top, side = torch.from_numpy(squares).float().unbind(dim=1)
    device = instances.boxes.device
    x = (left[:, None] + side[:, None] * places).to(device)
    y = (top[:, None] + side[:, None] * places).to(device)
    index = torch.tensor(list(rows), device=device)[:, None, None]
    sampled = sample_logits(instances, index, x[:, None, :], y[:, :, None]).numpy(force=True)
    margin = (boxes[:, 2:] - boxes[:, :2]) * (0.0 if instances.corrections is None else CORRECTION_MARGIN)
    scale = size / squares[:, 2:]
    low = np.clip(np.round((boxes[:, :2] - margin - squares[:, :2]) * scale), 0, size).astype(np.int64)
    high = np.clip(np.round((boxes[:, 2:] + margin - squares[:, :2]) * scale), 0, size).astype(np.int64)
    masks = np.zeros((len(sampled), size, size), np.bool_)
    for mask, logits, (x0, y0), (x1, y1) in zip(masks, sampled, low.tolist(), high.tolist(), strict=True):
        inside = slice(y0, y1), slice(x0, x1)
        mask[inside] = (cv2.resize(logits, (size, size), interpolation=cv2.INTER_LINEAR) > 0)[inside]
    return masks
