"""Crops of objects for the image encoder: squares with some context, in which the object stands out."""

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
"""Share of the image in a dimmed background; the rest is the fill colour."""

BLUR_CELLS: Final = 14
"""Cells per side of a blurred background: colours and positions remain, shapes disappear."""

MASK_SAMPLES: Final = 64
"""Samples of mask logits per side of a crop, with interpolation between them. The grid of the network has 160 cells for
the whole image, so a crop of an object rarely has more."""

MIN_SIDE_PX: Final = 8
"""Minimum side of the square, in image pixels; smaller objects get more context."""


@dataclass(frozen=True)
class CropStyle:
    """Surroundings of the object in a crop.

    A blurred background is the best visual prompt for CLIP, compared with colours, circles, boxes and crops, in
    "Fine-Grained Visual Prompting" (Yang et al. 2023, arXiv 2306.04356).
    """

    context: float = 0.2
    """Margin around the box on each side, as a share of the longer side of the box."""
    background: Literal["dim", "blur", "fill", "keep"] = "blur"
    """Treatment of the pixels around the object; `keep` leaves them unchanged."""
    colour: tuple[int, int, int] = (0, 0, 0)
    """RGB fill colour for the background and for areas outside the image."""


def object_crops(
    image: npt.NDArray[np.uint8],
    instances: Instances,
    rows: Sequence[int],
    *,
    size: int,
    style: CropStyle,
    resize: Literal["bilinear", "bicubic"] = "bicubic",
) -> npt.NDArray[np.uint8]:
    """Crop objects from an image.

    A crop is a square around the box, moved into the image as far as possible; areas that remain outside are filled. An
    object with an empty mask keeps its background unchanged.

    Args:
        image: uint8 (H, W, 3) RGB.
        instances: K objects of the image.
        rows: N selected objects.
        size: S, side of the crops in pixels.
        style: surroundings of the object.
        resize: pixel interpolation. Crops reduced to less than half their size are area-averaged first.

    Returns:
        uint8 (N, S, S, 3) RGB; N may be 0.

    Raises:
        ValueError: the instances belong to an image of another size.
    """
    height, width = image.shape[:2]
    if instances.image_size != (height, width):
        raise ValueError(f"instances of an image of {instances.image_size} do not belong to one of {(height, width)}")
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
    """Return the neutral RGB colour: the encoder's normalisation mean."""
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
    """Crop objects from an image in the size and resampling that the image encoder requires.

    Args:
        encoders: encoders of images and texts.
        image: uint8 (H, W, 3) RGB.
        instances: K objects of the image.
        rows: N selected objects.
        context: see `CropStyle`.
        background: see `CropStyle`.
        colour: see `CropStyle`; None for the neutral colour of the encoder.

    Returns:
        uint8 (N, S, S, 3) RGB; N may be 0.
    """
    description = encoders.description
    style = CropStyle(context, background, neutral_colour(encoders) if colour is None else colour)
    return object_crops(image, instances, rows, size=description.image_size, style=style, resize=description.resize)


def _resized(window: npt.NDArray[np.uint8], shape: tuple[int, int], interpolation: int) -> npt.NDArray[np.uint8]:
    """Resize to `shape` (width, height)."""
    height, width = window.shape[:2]
    factor = min(width // shape[0], height // shape[1])
    if factor >= 2:
        # Average over whole pixels first; averaging over fractions of pixels takes ten times as long. The part cut off
        # at the right and bottom is smaller than a pixel of the crop.
        width, height = width // factor, height // factor
        window = cv2.resize(  # type: ignore[assignment]
            window[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA
        )
    return cv2.resize(window, shape, interpolation=interpolation)  # type: ignore[return-value]


def _squares(boxes: npt.NDArray[np.float64], image_size: tuple[int, int], context: float) -> npt.NDArray[np.int64]:
    """Return the crop squares (N, 3): left, top and side in whole image pixels."""
    extent = boxes[:, 2:] - boxes[:, :2]
    side = np.maximum(np.ceil(extent.max(axis=1) * (1 + 2 * context)), MIN_SIDE_PX)
    corner = np.round((boxes[:, 2:] + boxes[:, :2] - side[:, None]) / 2)
    free = np.array(image_size[::-1]) - side[:, None]
    # A square that does not fit is centred on the image, so that both edges are filled equally.
    corner = np.where(free >= 0, np.clip(corner, 0, np.maximum(free, 0)), np.round(free / 2))
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.int64)


def _masks(
    instances: Instances,
    rows: Sequence[int],
    boxes: npt.NDArray[np.float64],
    squares: npt.NDArray[np.int64],
    size: int,
) -> npt.NDArray[np.bool_]:
    """Return which pixels of each square belong to the object: bool (N, size, size)."""
    positions = torch.arange(MASK_SAMPLES).add(0.5) / MASK_SAMPLES
    left, top, side = torch.from_numpy(squares).float().unbind(dim=1)
    device = instances.boxes.device
    x = (left[:, None] + side[:, None] * positions).to(device)
    y = (top[:, None] + side[:, None] * positions).to(device)
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
