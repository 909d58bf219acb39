"""Simulated detections: the ground truth, clean or degraded in one of several ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.object_tracking.masks import instances_of
from benchmarks.object_tracking.scenes import SIZE
from streamseg.geometry import box_iou
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.synthetic import SceneTruth

__all__ = ["VARIANTS", "Variant", "detections"]


@dataclass(frozen=True)
class Variant:
    """Frame rate and degradation of the ground truth."""

    name: str
    fps: float = 30.0
    nested: bool = False
    dropout: float = 0.0
    """Share of missing detections."""
    jitter: float = 0.0
    """Standard deviation of each box edge as a share of the box size; the mask moves with its box."""
    low: float = 0.0
    """Share of detections with a score below the tracker's `high_score`."""
    clutter: float = 0.0
    """Mean number of false detections per frame."""


VARIANTS = (
    Variant("objects"),
    Variant("nested", nested=True),
    Variant("nested, 10 fps", nested=True, fps=10.0),
    Variant("nested, 5 fps", nested=True, fps=5.0),
    Variant("nested, 10 % dropped", nested=True, dropout=0.1),
    Variant("nested, 3 % jitter", nested=True, jitter=0.03),
    Variant("nested, spoilt, 15 fps", nested=True, fps=15.0, dropout=0.1, jitter=0.03, low=0.2, clutter=1.0),
)


def detections(truth: SceneTruth, variant: Variant, rng: np.random.Generator) -> tuple[Instances, np.ndarray]:
    """Return the simulated detections of a frame and their rows (K,) in the ground truth, -1 for clutter."""
    rows = np.flatnonzero(~truth.is_part | variant.nested)
    # If only a part of a whole is visible, a detector's NMS keeps one of the two.
    overlaps = box_iou(torch.from_numpy(truth.boxes), torch.from_numpy(truth.boxes)).numpy() > 0.7
    rows = rows[~(truth.is_part & (overlaps & ~truth.is_part).any(axis=1))[rows]]
    rows = rows[rng.random(len(rows)) >= variant.dropout]
    boxes = truth.boxes[rows].astype(np.float64)
    boxes += np.tile(boxes[:, 2:] - boxes[:, :2], 2) * rng.normal(0, variant.jitter, boxes.shape)
    crops = [truth.masks[row] for row in rows]
    for _ in range(rng.poisson(variant.clutter)):
        corner, size = rng.random(2) * (SIZE[1], SIZE[0]), rng.uniform(20, 200, 2)
        boxes = np.concatenate((boxes, [[*corner, *(corner + size)]]))
        crops.append(CropMask(rng.random((8, 8)) > 0.3, 0, 0))
        rows = np.append(rows, -1)
    boxes = np.clip(boxes, 0, (SIZE[1], SIZE[0], SIZE[1], SIZE[0]))
    scores = rng.uniform(0.5, 0.95, len(boxes))
    scores[rng.random(len(boxes)) < variant.low] = 0.3
    order = np.argsort(-scores, kind="stable")
    return instances_of(boxes[order], scores[order], [crops[row] for row in order]), rows[order]
