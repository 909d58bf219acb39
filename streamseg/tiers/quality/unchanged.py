"""Answers that remain valid while nothing moves: an older mask is right if its surroundings look the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.message import MessageObject
from streamseg.tiers.contract import BetterMask

__all__ = ["Answer", "Answers", "Box"]

MARGIN: Final = 0.15
"""Margin around an object that must look the same, too, as a fraction of its size."""
MAX_CELLS: Final = 32
"""Maximum number of cells per side in which two images are compared."""
CELL_PIXELS: Final = 4
"""Minimum size of a cell: over so many pixels the noise of a camera averages out."""
MAX_DIFFERENCE: Final = 10.0
"""Largest difference of the mean colour of a cell, in grey levels. An outline of a contrast of 40 that moves by a
quarter of a cell exceeds it."""
MIN_BOX_IOU: Final = 0.9
"""Minimum IoU of the boxes that the network gives the object then and now."""

MAX_ANSWERS: Final = 256
"""Number of answers that a source remembers; more are forgotten, the oldest first."""

Box = tuple[float, float, float, float]
Key = int | tuple[str, ...]
"""Identity of an object between frames: its track id or, without one, the ids of its prompts."""


@dataclass(eq=False)
class Answer:
    """The mask of an object in one frame."""

    better: BetterMask
    box: Box
    """Box of the object in that frame, xyxy in pixels, as the network gave it."""
    image: ImageArray | None
    """The image of that frame; None once its cells are known."""
    _cells: Float32Array | None = field(default=None, init=False)

    def is_valid(self, image: ImageArray, box: Box) -> bool:
        """Return whether the mask is right in another image of the same source, where the object has some box."""
        if _box_iou(self.box, box) < MIN_BOX_IOU:
            return False
        if self._cells is None:
            if self.image is None or self.image.shape != image.shape:
                return False
            self._cells, self.image = self._view(self.image), None
        cells = self._view(image)
        return cells.shape == self._cells.shape and bool(np.abs(cells - self._cells).max(initial=0) <= MAX_DIFFERENCE)

    def _view(self, image: ImageArray) -> Float32Array:
        """Return the mean colours (h, w, 3) of the cells around the object; shape (0, 0, 3) outside the image."""
        x0, y0, x1, y1 = self.better.mask.crop_box
        margin_x, margin_y = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
        left, top = max(int(x0 - margin_x), 0), max(int(y0 - margin_y), 0)
        part = image[top : max(int(y1 + margin_y + 1), 0), left : max(int(x1 + margin_x + 1), 0)]
        height, width = part.shape[:2]
        if not height or not width:
            return np.zeros((0, 0, 3), dtype=np.float32)
        size = (min(-(-width // CELL_PIXELS), MAX_CELLS), min(-(-height // CELL_PIXELS), MAX_CELLS))
        cells: Float32Array = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cells


class Answers:
    """The latest answers of one source, by object."""

    def __init__(self) -> None:
        self._answers: dict[Key, Answer] = {}

    def remember(self, found: MessageObject, better: BetterMask, image: ImageArray) -> None:
        """Remember the mask of an object in an image; it replaces an older one."""
        key = _key(found)
        self._answers.pop(key, None)
        self._answers[key] = Answer(better, found.box, image)
        while len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def valid(self, found: MessageObject, image: ImageArray) -> BetterMask | None:
        """Return the mask of an object that is still right in another image; None if there is none."""
        answer = self._answers.get(_key(found))
        return answer.better if answer is not None and answer.is_valid(image, found.box) else None


def _key(found: MessageObject) -> Key:
    return found.track_id if found.track_id >= 0 else found.prompt_ids


def _box_iou(first: Box, second: Box) -> float:
    """Return the IoU of two boxes xyxy; 0 if both are empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (first, second)) - shared
    return shared / union if union > 0 else 0.0
