"""The rendered scene as segmented frames, with the ground truth of each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from benchmarks.object_tracking.detections import Variant, detections
from benchmarks.object_tracking.masks import mask_iou, truth_instances
from benchmarks.object_tracking.scenes import SIZE, scene, scene_renderer
from streamseg.geometry import letterbox
from streamseg.segmentation import Segmenter
from streamseg.segmentation.embedding import embed
from streamseg.structures.instances import Instances
from streamseg.synthetic.renderer import MAX_PARTS

__all__ = ["FPS", "NESTED", "VARIANTS", "Step", "model_steps", "truth_steps", "whole_of"]

FPS = 10.0
NESTED = Variant("nested", nested=True, fps=FPS)
VARIANTS = (
    Variant("objects", fps=FPS),
    NESTED,
    Variant("nested, spoilt", nested=True, fps=FPS, dropout=0.1, jitter=0.03, low=0.2, clutter=1.0),
)


@dataclass(frozen=True, eq=False)
class Step:
    """One frame: instances with the ground truth of each row."""

    instances: Instances
    time_seconds: float
    truth: np.ndarray
    """(K,) `sprite_ids` of the scene, -1 for rows that are no object. A sprite that leaves and returns keeps its id,
    because a viewer would recognise it."""


def whole_of(figure_id: int) -> int:
    """Return the id of the whole that contains a part; the id itself if it is no part."""
    return figure_id // (1 + MAX_PARTS) * (1 + MAX_PARTS)


def truth_steps(variant: Variant, seed: int, num_frames: int | None = None) -> Iterator[Step]:
    """Yield degraded ground-truth boxes and masks with the colours of the rendered images."""
    rng = np.random.default_rng([seed, 7])
    renderer = scene_renderer(seed, FPS)
    place = letterbox(SIZE, 640)
    for index, truth in enumerate(scene(seed, FPS)[:num_frames]):
        instances, rows = detections(truth, variant, rng)
        canvas = np.full((*place.input_size, 3), 114, np.uint8)
        height, width = place.scaled_size
        scaled = cv2.resize(renderer.render(index), (width, height), interpolation=cv2.INTER_AREA)
        canvas[place.top : place.top + height, place.left : place.left + width] = scaled
        # There is no network here; with one empty prototype, embeddings depend on colours alone.
        prototype = torch.zeros((1, *instances.mask_logits.shape[1:]))
        embeddings = embed(instances, prototype, canvas)
        ids = np.where(rows >= 0, truth.sprite_ids[rows], -1)
        yield Step(replace(instances, embeddings=embeddings), index / FPS, ids)


def model_steps(segmenter: Segmenter, seed: int) -> Iterator[Step]:
    """Yield a network's instances; a row belongs to the object with which its mask has an IoU above 0.5."""
    renderer = scene_renderer(seed, FPS)
    for index, truth in enumerate(scene(seed, FPS)):
        instances = segmenter([renderer.render(index)])[0].to("cpu")
        similarity = mask_iou(truth_instances(truth, segmenter.imgsz), instances)
        ids = np.full(len(instances), -1)
        if len(truth.track_ids) and len(instances):
            best = similarity.argmax(axis=0)
            ids = np.where(similarity.max(axis=0) > 0.5, truth.sprite_ids[best], -1)
        yield Step(instances, index / FPS, ids)
