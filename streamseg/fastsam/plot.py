"""Drawn with OpenCV, into arrays and files; nothing opens a window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.drawing import colour_of, draw_objects
from streamseg.errors import DataError
from streamseg.structures.message import CropMask, MessageObject

__all__ = ["crop_of", "draw_rows", "write_image"]

Picture = npt.NDArray[np.uint8]

_EMPTY = CropMask(np.zeros((0, 0), np.bool_), 0, 0)


def draw_rows(
    image: Picture,
    masks: npt.NDArray[np.bool_] | None,
    boxes: npt.NDArray[np.float32],
    *,
    titles: Sequence[str | None],
    identities: Sequence[int] | None = None,
    box_width_px: int = 0,
) -> Picture:
    """A copy of a picture (H, W, 3) RGB with K objects on it, large ones below.

    Args:
        image: the picture.
        masks: bool (K, h, w), of any size that stands for the whole picture; None: no masks.
        boxes: (K, 4) xyxy.
        titles: what to write at each, None for nothing.
        identities: decide the colours; None: the rank does.
        box_width_px: 0 for no boxes.
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
        for crop in [_EMPTY if masks is None else crop_of(masks[row])]
    ]
    mask_size = None if masks is None else (masks.shape[1], masks.shape[2])
    canvas = draw_objects(np.ascontiguousarray(image), objects, mask_size=mask_size, colours=colours)
    if box_width_px:
        for (x0, y0, x1, y1), colour in zip(boxes.round().astype(int).tolist(), colours, strict=True):
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, box_width_px, cv2.LINE_AA)
    return canvas


def crop_of(mask: npt.NDArray[np.bool_]) -> CropMask:
    """A mask (H, W) in its tight box; a crop of (0, 0) where it is empty."""
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(down):
        return _EMPTY
    return CropMask(mask[down[0] : down[-1] + 1, across[0] : across[-1] + 1], int(across[0]), int(down[0]))


def write_image(path: Path, picture: Picture) -> None:
    """Write (H, W, 3) BGR in the format that the suffix names, and make the folder.

    Raises:
        DataError: it cannot be written.
    """
    if not path.suffix or not cv2.haveImageWriter(path.name):
        raise DataError(f"cannot write {path}: the suffix must be that of a picture, such as .png or .jpg")
    _, coded = cv2.imencode(path.suffix, picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coded.tobytes())
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
