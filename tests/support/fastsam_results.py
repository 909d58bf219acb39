"""`Results` of hand-made masks, and the folder of the reference packages' recorded results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from streamseg.fastsam import Boxes, Masks, Results
from streamseg.fastsam.results import Prompting
from streamseg.structures.arrays import BoolArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.support.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = GOLDEN_FOLDER / "reference"


def rectangles(*corners: tuple[int, int, int, int], size: tuple[int, int] = (60, 80)) -> BoolArray:
    """Return masks bool (K, H, W) of filled rectangles x0, y0, x1, y1."""
    masks = np.zeros((len(corners), *size), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(masks, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def results_of(
    masks: BoolArray,
    *,
    prompting: Prompting = "reference",
    image: npt.NDArray[np.uint8] | None = None,
    path: str = "folder/image.png",
    boxes: Sequence[Sequence[float]] | None = None,
) -> Results:
    """Return the results that a model would return for masks (K, H, W) of an image of their size; default: grey."""
    num, height, width = masks.shape
    if boxes is None:
        boxes = [
            (x.min(), y.min(), x.max() + 1, y.max() + 1) if len(x) else (0, 0, 0, 0)
            for y, x in (np.nonzero(mask) for mask in masks)
        ]
    corners = torch.tensor(np.array(boxes, dtype=np.float32).reshape(-1, 4))
    scores = torch.linspace(0.9, 0.5, num)
    logits = torch.from_numpy(np.where(masks, 6.0, -6.0).astype(np.float32))
    return Results(
        np.full((height, width, 3), 100, np.uint8) if image is None else image,
        path,
        Boxes(torch.cat([corners, scores[:, None], torch.zeros(num, 1)], dim=1), (height, width)),
        Masks(torch.from_numpy(masks.astype(np.uint8)), (height, width)),
        instances=Instances(corners, scores, logits, GridTransform(1.0, 1.0, 0.0, 0.0), (height, width)),
        prompting=prompting,
        speed={"preprocess": 1.0, "inference": 2.0, "postprocess": 3.0},
    )
