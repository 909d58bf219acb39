"""Cost of propagation over the number of targets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.object_tracking.masks import instances_of
from streamseg.prompting.mask_follower import MaskFollower
from streamseg.prompting.target import Hypothesis, Target
from streamseg.structures.arrays import Float64Array
from streamseg.structures.feature_map import FeatureMap
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import PointPrompt

__all__ = ["costs"]

GRID = (36, 64)
"""Cells of 8 input pixels at imgsz 512 and 16:9."""
TO_IMAGE = GridTransform(20.0, 20.0, 0.0, 0.0)
"""1280 x 720 pixels."""
SIDES = {"small": (60, 160), "large": (160, 500)}
"""Sides of the targets in pixels, from and to."""
NUM_FRAMES = 40
STEP = 20.0
"""Motion per frame, pixels."""


def costs(numbers: Sequence[int], *, channels: int) -> dict[str, dict[int, float]]:
    """Return the CPU milliseconds of one frame by number of targets: proposals agree, or are missing.

    Args:
        numbers: numbers of targets.
        channels: channels of the features.
    """
    return {
        f"{size}, {state}": {number: _least_ms(number, channels, size, detected=state == "found") for number in numbers}
        for size in SIDES
        for state in ("found", "missing")
    }


def _least_ms(number: int, channels: int, size: str, *, detected: bool) -> float:
    rng = np.random.default_rng(0)
    sides = rng.uniform(*SIDES[size], (number, 2))
    corners = rng.uniform(0, 1, (number, 2)) * (np.array([1280, 720]) - sides - STEP)
    boxes = np.concatenate((corners, corners + sides), axis=1)
    values = rng.normal(size=(*GRID, channels)).astype(np.float32)
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    # The scene moves back and forth by a cell.
    frames = [FeatureMap(np.roll(values, shift, axis=1), TO_IMAGE) for shift in (0, 1)]
    targets = {
        f"p{row}": Target(PointPrompt(f"p{row}", ((0.0, 0.0),), (1,)), [Hypothesis(row)]) for row in range(number)
    }
    follower = MaskFollower()
    least = float("inf")
    for index in range(NUM_FRAMES):
        is_shown = detected or index == 0
        tracked = _tracked(boxes + (index % 2) * STEP * np.array([1, 0, 1, 0]), is_shown, frames[index % 2])
        rows = {prompt_id: row if is_shown else -1 for row, prompt_id in enumerate(targets)}
        started = time.process_time()
        follower.update(targets, rows, tracked)
        elapsed = time.process_time() - started
        if index > 3:
            least = min(least, elapsed * 1e3)
    return round(least, 3)


def _tracked(boxes: Float64Array, is_shown: bool, features: FeatureMap) -> Tracked:
    shown = boxes if is_shown else boxes[:0]
    crops = [CropMask(np.ones((8, 8), np.bool_), 0, 0) for _ in shown]
    instances = instances_of(shown, np.linspace(0.9, 0.5, len(shown)), crops)
    fresh = replace(features)  # without anything computed in an earlier frame
    return Tracked(replace(instances, features=lambda: fresh), torch.arange(len(shown)))
