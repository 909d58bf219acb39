"""Everything mode of a promptable model: a grid of points over the image, filtered as SAM's mask generator does.

It takes seconds per image, and serves as a reference: for pictures side by side, and as a teacher for labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from streamseg.errors import EngineError
from streamseg.geometry import nms
from streamseg.segmentation import instance_masks
from streamseg.structures.arrays import BoolArray, Float32Array, ImageArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.search_regions import SearchRegions
from streamseg.tiers.model_folder import first_line
from streamseg.tiers.quality.decoded import extents, tight
from streamseg.tiers.quality.model import PromptableModel, Queries

__all__ = ["GridSegmenter", "point_grid", "stability"]

POINTS_AT_ONCE: Final = 64
STABILITY_OFFSET: Final = 1.0
"""Shift of the threshold of the logits, up and down, between which a stable mask hardly changes."""


class GridSegmenter:
    """Segments everything by asking a promptable model at each point of a grid.

    The defaults are those of segment-anything's generator. Stability and boxes are computed on the grid of the logits
    and not at the size of the image, which changes them by less than a cell.

    Args:
        model: the model.
        points_per_side: points per side of the grid, over the whole image.
        min_quality: minimum predicted IoU of a mask.
        min_stability: minimum stability of a mask, see `stability`.
        max_box_iou: IoU of boxes above which the mask with the lower predicted IoU is removed.
        max_objects: maximum number of objects per image, those with the highest predicted IoU.
    """

    def __init__(
        self,
        model: PromptableModel,
        *,
        points_per_side: int = 32,
        min_quality: float = 0.88,
        min_stability: float = 0.95,
        max_box_iou: float = 0.7,
        max_objects: int = 300,
    ) -> None:
        self._model = model
        self._points_per_side = points_per_side
        self._min_quality = min_quality
        self._min_stability = min_stability
        self._max_box_iou = max_box_iou
        self._max_objects = max_objects

    def __call__(self, images: Sequence[ImageArray], regions: Sequence[SearchRegions] | None = None) -> list[Instances]:
        """Return one Instances per image, with the predicted IoU as scores; `regions` are ignored.

        Raises:
            EngineError: the model cannot be run, for example because the memory does not suffice.
        """
        try:
            return [self._segment(image) for image in images]
        except Exception as error:  # those of the engines have no common type
            raise EngineError(f"{self._model.name} cannot be run: {first_line(error)}") from error

    def _segment(self, image: ImageArray) -> Instances:
        size = (image.shape[0], image.shape[1])
        embedding = self._model.encode(image)
        points = point_grid(self._points_per_side) * np.array([size[1], size[0]], dtype=np.float32)
        logits, qualities, boxes = [], [], []
        grid_to_image = GridTransform(1.0, 1.0, 0.0, 0.0)
        for start in range(0, len(points), POINTS_AT_ONCE):
            decoded = self._model.decode(embedding, Queries.of_points(points[start : start + POINTS_AT_ONCE]))
            flat, predicted = decoded.logits.reshape(-1, *decoded.logits.shape[2:]), decoded.qualities.reshape(-1)
            grid_to_image = decoded.grid_to_image
            flat = _cut(flat, grid_to_image, size)
            kept = np.flatnonzero(predicted > self._min_quality)
            kept = kept[stability(flat[kept]) >= self._min_stability]
            logits.append(flat[kept])
            qualities.append(predicted[kept])
            boxes.append(extents(flat[kept] > 0, grid_to_image, size, margin=0))
        found = np.concatenate(boxes)
        scores = torch.from_numpy(np.concatenate(qualities)).float()
        rows = nms(torch.from_numpy(found).float(), scores, self._max_box_iou, max_kept=self._max_objects)
        chosen = np.concatenate(logits)[rows.numpy()]
        wide = extents(chosen > 0, grid_to_image, size, margin=1)
        instances = Instances(
            torch.from_numpy(wide).float(), scores[rows].clamp(0, 1), torch.from_numpy(chosen), grid_to_image, size
        )
        return _with_tight_boxes(instances)


def point_grid(points_per_side: int) -> Float32Array:
    """Return the points (N * N, 2) x, y of a grid over the unit square, row by row."""
    offset = 1 / (2 * points_per_side)
    side = np.linspace(offset, 1 - offset, points_per_side)
    grid: Float32Array = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
    return grid


def stability(logits: Float32Array) -> Float32Array:
    """Return the stability (N,) of masks (N, h, w), 0..1: IoU of the masks at a higher and at a lower threshold.

    An empty mask has stability 0.
    """
    high: BoolArray = logits > STABILITY_OFFSET
    low: BoolArray = logits > -STABILITY_OFFSET
    inner, outer = high.sum(axis=(1, 2)), low.sum(axis=(1, 2))
    found: Float32Array = (inner / np.maximum(outer, 1)).astype(np.float32)
    return found


def _cut(logits: Float32Array, grid_to_image: GridTransform, image_size: tuple[int, int]) -> Float32Array:
    """Return logits (N, h, w) without the cells that lie wholly in the padding of the canvas."""
    height = min(int(np.ceil(image_size[0] / grid_to_image.scale_y - 1e-6)), logits.shape[1])
    width = min(int(np.ceil(image_size[1] / grid_to_image.scale_x - 1e-6)), logits.shape[2])
    return logits[:, :height, :width]


def _with_tight_boxes(instances: Instances) -> Instances:
    """Return the instances with the boxes of their pixels; those without any are removed."""
    masks = [tight(mask) for mask in instance_masks(instances)]
    rows = [row for row, mask in enumerate(masks) if mask.area]
    kept = instances[rows]
    boxes = torch.tensor([masks[row].crop_box for row in rows]).reshape(-1, 4).float()
    return Instances(boxes, kept.scores, kept.mask_logits, kept.grid_to_image, kept.image_size)
