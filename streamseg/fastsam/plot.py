"""Drawing with OpenCV into arrays, and writing of image files. Nothing opens a window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.drawing import colour_of, draw_objects, image_file
from streamseg.structures.arrays import BoolArray, Float32Array, ImageArray
from streamseg.structures.mask import CropMask
from streamseg.structures.message import MessageObject

__all__ = ["draw_rows", "write_image"]

_EMPTY = CropMask(np.zeros((0, 0), np.bool_), 0, 0)


def draw_rows(
    image: ImageArray,
    masks: BoolArray | None,
    boxes: Float32Array,
    *,
    titles: Sequence[str | None],
    identities: Sequence[int] | None = None,
    box_width_px: int = 0,
) -> ImageArray:
    """Draw K objects on a copy of an image, small ones on top.

    Args:
        image: (H, W, 3) RGB.
        masks: bool (K, h, w), stretched over the whole image; None: no masks.
        boxes: (K, 4) xyxy.
        titles: label of each object, None for no label.
        identities: colour key of each object; None: the row number.
        box_width_px: line width of the boxes, 0 for no boxes.
    """
    colours = [colour_of(one) for one in (range(len(boxes)) if identities is None else identities)]
    objects = [
        MessageObject(
            track_id=-1 if identities is None else identities[row],
            prompt_ids=(),
            box=tuple(box.tolist()),
            score=1.0,
            mask=crop,
            area=crop.area,
            label=titles[row],
        )
        for row, box in enumerate(boxes)
        for crop in [_EMPTY if masks is None else CropMask.of(masks[row])]
    ]
    mask_size = None if masks is None else (masks.shape[1], masks.shape[2])
    canvas = draw_objects(np.ascontiguousarray(image), objects, mask_size=mask_size, colours=colours)
    if box_width_px:
        for (x0, y0, x1, y1), colour in zip(boxes.round().astype(int).tolist(), colours, strict=True):
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, box_width_px, cv2.LINE_AA)
    return canvas


def write_image(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an image (H, W, 3) BGR in the format of the path's suffix; create its folder.

    Raises:
        DataError: the file cannot be written.
    """
    image_file.write_image(path, image[:, :, ::-1])
