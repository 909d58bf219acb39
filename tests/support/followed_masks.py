"""Frames of coloured rectangles with features, for tests of propagated masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from streamseg.structures.feature_map import FeatureMap
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Tracked
from tests.support.shapes import Shape, detect_shapes

SIZE = (32, 40)
"""Cells of 8 pixels, for the images of `detect_shapes`: one row above and one below is padding."""


class CountedFeatures:
    """Features of the frame, with the number of times that they were computed."""

    def __init__(self, features: FeatureMap) -> None:
        self.features = features
        self.num_calls = 0

    def __call__(self) -> FeatureMap:
        self.num_calls += 1
        return self.features


def features_of(shapes: Sequence[Shape], *, seed: int = 0) -> FeatureMap:
    """Return features in which each shape, and the background, is a surface of its own, with some noise."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] * 8.0 + 4
    y -= 8
    values = np.random.default_rng(seed).normal(scale=0.05, size=(*SIZE, 8)).astype(np.float32)
    surface = np.zeros(SIZE, np.intp)
    for number, shape in enumerate(shapes, start=1):
        surface[shape.covers(x, y)] = number
    values[np.arange(SIZE[0])[:, None], np.arange(SIZE[1]), surface] += 1
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    return FeatureMap(values, GridTransform(8.0, 8.0, 0.0, -8.0))


def seen(
    shapes: Sequence[Shape], detected: Sequence[int], track_ids: Sequence[int], *, seed: int = 0
) -> tuple[Tracked, CountedFeatures]:
    """Return a frame in which only some of the shapes are detected, and its features.

    Args:
        shapes: at most 7 shapes of the image, the last one in front.
        detected: positions of the detected ones, by row.
        track_ids: their track ids.
        seed: of the noise of the features.
    """
    features = CountedFeatures(features_of(shapes, seed=seed))
    instances = replace(detect_shapes([shapes[one] for one in detected]), features=features)
    return Tracked(instances, torch.tensor(list(track_ids), dtype=torch.int64)), features
