"""The rendered scene as followers of prompts see it, with the truth of each row."""

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
    """One frame: rows, and the truth of each."""

    instances: Instances
    time_seconds: float
    truth: np.ndarray
    """(K,) `sprite_ids` of the scene, -1 for what is none: a figure that has left and comes back is the same object to
    anybody who sees it."""


def whole_of(figure_id: int) -> int:
    """The figure that one is a part of; itself where it is none."""
    return figure_id // (1 + MAX_PARTS) * (1 + MAX_PARTS)


def truth_steps(variant: Variant, seed: int, num_frames: int | None = None) -> Iterator[Step]:
    """The truth's boxes and masks, spoilt, with the colours of the rendered images."""
    rng = np.random.default_rng([seed, 7])
    renderer = scene_renderer(seed, FPS)
    place = letterbox(SIZE, 640)
    for index, truth in enumerate(scene(seed, FPS)[:num_frames]):
        instances, rows = detections(truth, variant, rng)
        picture = np.full((*place.input_size, 3), 114, np.uint8)
        height, width = place.scaled_size
        scaled = cv2.resize(renderer.render(index), (width, height), interpolation=cv2.INTER_AREA)
        picture[place.top : place.top + height, place.left : place.left + width] = scaled
        # There is no network here: one prototype of nothing, so that colours alone tell objects apart.
        nothing = torch.zeros((1, *instances.mask_logits.shape[1:]))
        looks = embed(instances, nothing, picture)
        ids = np.where(rows >= 0, truth.sprite_ids[rows], -1)
        yield Step(replace(instances, embeddings=looks), index / FPS, ids)


def model_steps(segmenter: Segmenter, seed: int) -> Iterator[Step]:
    """What a network finds; a row is the object that its mask shares more than half with."""
    renderer = scene_renderer(seed, FPS)
    for index, truth in enumerate(scene(seed, FPS)):
        instances = segmenter([renderer.render(index)])[0].to("cpu")
        similarity = mask_iou(truth_instances(truth, segmenter.imgsz), instances)
        ids = np.full(len(instances), -1)
        if len(truth.track_ids) and len(instances):
            best = similarity.argmax(axis=0)
            ids = np.where(similarity.max(axis=0) > 0.5, truth.sprite_ids[best], -1)
        yield Step(instances, index / FPS, ids)
