"""What trackers are given, frame by frame, and what is true about it."""

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
    """One frame: what the tracker is given, and what is true about it."""

    instances: Instances
    time_seconds: float
    truth_ids: np.ndarray
    """(N,)"""
    similarity: np.ndarray
    """(N, K)"""
    counted: np.ndarray
    """bool (K,): rows that are right or wrong; the others are left out."""


def truth_steps(variant: Variant, seed: int) -> Iterator[Step]:
    """The frames of one sequence, the same for every tracker."""
    rng = np.random.default_rng([seed, 7])
    for index, truth in enumerate(scene(seed, variant.fps)):
        instances, rows = detections(truth, variant, rng)
        given = np.sort(rows[rows >= 0])  # nobody can follow what is not there
        similarity = (given[:, None] == rows[None, :]).astype(np.float64)
        yield Step(instances, index / variant.fps, truth.track_ids[given], similarity, np.ones(len(rows), np.bool_))


def model_steps(segmenter: Segmenter, fps: float, seed: int) -> Iterator[Step]:
    """The frames of one sequence as a network sees them; the truth are the objects, without their parts.

    What the network finds beyond them (parts, the background) is neither right nor wrong, and not counted.
    """
    renderer = scene_renderer(seed, fps)
    for index, truth in enumerate(scene(seed, fps)):
        instances = segmenter([renderer.render(index)])[0].to("cpu")
        similarity = mask_iou(truth_instances(truth, segmenter.imgsz), instances)
        similarity = similarity[~truth.is_part]
        counted = similarity.max(axis=0, initial=0.0) >= 0.5
        yield Step(instances, index / fps, truth.track_ids[~truth.is_part], similarity, counted)
