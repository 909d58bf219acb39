"""Input of the trackers, frame by frame, with its ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.object_tracking.detections import Variant, detections
from benchmarks.object_tracking.masks import mask_iou, truth_instances
from benchmarks.object_tracking.scenes import scene, scene_renderer
from streamseg.segmentation import Segmenter
from streamseg.structures.instances import Instances

__all__ = ["Step", "model_steps", "truth_steps"]


@dataclass(frozen=True, eq=False)
class Step:
    """One frame: the tracker's input and its ground truth."""

    instances: Instances
    time_seconds: float
    truth_ids: np.ndarray
    """(N,) true identities."""
    similarity: np.ndarray
    """(N, K) similarity of true objects and rows."""
    counted: np.ndarray
    """bool (K,): rows that count as right or wrong; the others are omitted."""


def truth_steps(variant: Variant, seed: int) -> Iterator[Step]:
    """Yield the frames of one sequence, the same for every tracker."""
    rng = np.random.default_rng([seed, 7])
    for index, truth in enumerate(scene(seed, variant.fps)):
        instances, rows = detections(truth, variant, rng)
        present = np.sort(rows[rows >= 0])  # a missing detection cannot be tracked
        similarity = (present[:, None] == rows[None, :]).astype(np.float64)
        yield Step(instances, index / variant.fps, truth.track_ids[present], similarity, np.ones(len(rows), np.bool_))


def model_steps(segmenter: Segmenter, fps: float, seed: int) -> Iterator[Step]:
    """Yield the frames of one sequence as segmented by a network; the ground truth are the objects without parts.

    Other instances (parts, background) are neither right nor wrong and do not count.
    """
    renderer = scene_renderer(seed, fps)
    for index, truth in enumerate(scene(seed, fps)):
        instances = segmenter([renderer.render(index)])[0].to("cpu")
        similarity = mask_iou(truth_instances(truth, segmenter.imgsz), instances)
        similarity = similarity[~truth.is_part]
        counted = similarity.max(axis=0, initial=0.0) >= 0.5
        yield Step(instances, index / fps, truth.track_ids[~truth.is_part], similarity, counted)
