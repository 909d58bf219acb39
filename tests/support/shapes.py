"""Instances of simple shapes as a segmenter would output them, for tests of tracking, prompting and identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from streamseg.geometry import letterbox
from streamseg.structures.instances import Instances

IMAGE_SIZE = (240, 320)
"""(H, W)."""


@dataclass(frozen=True)
class Shape:
    """One object: centre and size in pixels."""

    x: float
    y: float
    width: float
    height: float
    kind: str = "ellipse"
    """ellipse, rectangle, triangle or ring."""
    score: float = 0.9

    def covers(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which points are inside the shape."""
        across, down = (x - self.x) / (self.width / 2), (y - self.y) / (self.height / 2)
        radius = across**2 + down**2
        inside = {
            "ellipse": radius <= 1,
            "rectangle": np.maximum(np.abs(across), np.abs(down)) <= 1,
            "triangle": (np.abs(down) <= 1) & (np.abs(across) <= (down + 1) / 2),
            "ring": (radius <= 1) & (radius >= 0.4),
        }
        return inside[self.kind]


def detect_shapes(
    shapes: Sequence[Shape],
    *,
    size: tuple[int, int] = IMAGE_SIZE,
    imgsz: int = 320,
    in_front: Sequence[Shape] = (),
) -> Instances:
    """Return the instances of `shapes`, in order; pixels behind one of `in_front` are hidden.

    Boxes are tight around the visible pixels. Masks are on the grid of a network of input size `imgsz`. A
    shape without visible pixels is omitted.
    """
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    unoccluded = ~np.any([shape.covers(x, y) for shape in in_front], axis=0) if in_front else np.ones(size, np.bool_)
    fit = letterbox(size, imgsz)
    transform = fit.to_image(4)
    columns = (np.arange(fit.input_size[1] // 4) + 0.5) * transform.scale_x + transform.offset_x
    rows = (np.arange(fit.input_size[0] // 4) + 0.5) * transform.scale_y + transform.offset_y
    boxes, scores, logits = [], [], []
    for shape in shapes:
        visible = shape.covers(x, y) & unoccluded
        if not visible.any():
            continue
        down, across = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        boxes.append([across[0], down[0], across[-1] + 1, down[-1] + 1])
        scores.append(shape.score)
        # Nearest pixel at the centre of each cell.
        row, column = np.clip(rows.astype(int), 0, height - 1), np.clip(columns.astype(int), 0, width - 1)
        logits.append(np.where(visible[np.ix_(row, column)], 6.0, -6.0))
    grid = (len(logits), fit.input_size[0] // 4, fit.input_size[1] // 4)
    return Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        mask_logits=torch.from_numpy(np.array(logits, dtype=np.float32).reshape(grid)),
        grid_to_image=transform,
        image_size=size,
    )
