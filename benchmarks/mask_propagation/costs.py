"""Cost of propagation over the number of targets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.object_tracking.masks import instances_of
from streamseg.engines import Raw
from streamseg.geometry import letterbox
from streamseg.modeling.refiner import Refiner
from streamseg.prompting.mask_follower import MaskFollower
from streamseg.prompting.target import Hypothesis, Target
from streamseg.segmentation.features import feature_map
from streamseg.segmentation.second_look import Looker
from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import PointPrompt

__all__ = ["NUM_EMBEDDINGS", "NUM_PROTOTYPES", "SIDES", "STATES", "costs"]

IMGSZ = 512
SIZE = (720, 1280)
NUM_PROTOTYPES, NUM_EMBEDDINGS = 32, 48
"""Channels of the default network."""
SIDES = {"small": (60, 160), "large": (160, 500)}
"""Sides of the targets in pixels, from and to."""
STATES = ("found", "missing", "looked at again", "searched for")
"""Proposals agree, or are missing; or a second look, with the refiner, is taken at those that are missing; or the image
is another one, with as many other objects, among which the targets are searched for."""
WARM_UP, WINDOW = 10, 12
"""Frames that are not counted, and frames of which the mean counts."""
STEP = 20.0
"""Motion per frame in pixels: one cell of the features, two of the prototypes."""


def costs(numbers: Sequence[int], refiner: Refiner, num_frames: int = 80) -> dict[str, dict[int, float]]:
    """Return the CPU milliseconds of one frame by number of targets, features included.

    Args:
        numbers: numbers of targets.
        refiner: of `NUM_PROTOTYPES`, for second looks.
        num_frames: frames per measurement, at least `WARM_UP + WINDOW`. Frames differ, because targets take turns: the
            least mean of `WINDOW` consecutive ones counts.
    """
    return {
        f"{size}, {state}": {number: _least_ms(number, size, state, refiner, num_frames) for number in numbers}
        for size in SIDES
        for state in STATES
    }


def _least_ms(number: int, size: str, state: str, refiner: Refiner, num_frames: int) -> float:
    rng = np.random.default_rng(0)
    sides = rng.uniform(*SIDES[size], (number, 2))
    corners = rng.uniform(0, 1, (number, 2)) * (np.array(SIZE[::-1]) - sides - STEP)
    boxes = np.concatenate((corners, corners + sides), axis=1)
    place = letterbox(SIZE, IMGSZ)
    height, width = place.input_size
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    first = _outputs(rng, height, width)
    # Another scene, in which objects of the same sizes are elsewhere.
    other, offsets = (
        _outputs(rng, height, width),
        rng.uniform(0, 1, (number, 2)) * (np.array(SIZE[::-1]) - sides - STEP),
    )
    others = np.concatenate((offsets, offsets + sides), axis=1)
    targets = {
        f"p{row}": Target(PointPrompt(f"p{row}", ((0.0, 0.0),), (1,)), [Hypothesis(row)]) for row in range(number)
    }
    follower = MaskFollower()
    elapsed: list[float] = []
    for index in range(num_frames):
        is_first = state != "searched for" or index == 0
        is_shown = state in ("found", "searched for") or index == 0
        (prototypes, embedding), places = (first, boxes) if is_first else (other, others)
        # The scene moves back and forth.
        moved = index % 2
        maps = np.roll(prototypes, 2 * moved, axis=2)
        shown = places + moved * STEP * np.array([1, 0, 1, 0])
        tracked = _tracked(shown, is_shown=is_shown)
        source = partial(
            feature_map, maps, np.roll(embedding, moved, axis=2), np.roll(pixels, 8 * moved, axis=1), place
        )
        look = Looker(refiner, _raw(shown, maps), 0, image, place, pixels) if state == "looked at again" else None
        instances = replace(tracked.instances, features=source, look=look)
        if not is_first:  # tracks that began after the targets were lost
            tracked = replace(tracked, track_ids=tracked.track_ids + number)
        rows = {prompt_id: row if is_shown and is_first else -1 for row, prompt_id in enumerate(targets)}
        started = time.process_time()
        follower.update(targets, rows, replace(tracked, instances=instances))
        elapsed.append(time.process_time() - started)
    means = np.convolve(elapsed[WARM_UP:], np.ones(WINDOW) / WINDOW, mode="valid")
    return round(float(means.min()) * 1e3, 3)


def _outputs(rng: np.random.Generator, height: int, width: int) -> tuple[Float32Array, Float32Array]:
    """Return random prototypes and embeddings of a network for an input of (height, width) pixels."""
    prototypes = rng.normal(size=(NUM_PROTOTYPES, height // 4, width // 4)).astype(np.float32)
    embedding = rng.normal(size=(NUM_EMBEDDINGS, height // 8, width // 8)).astype(np.float32)
    return prototypes, embedding / np.linalg.norm(embedding, axis=0)


def _tracked(boxes: Float64Array, *, is_shown: bool) -> Tracked:
    shown = boxes if is_shown else boxes[:0]
    crops = [CropMask(np.ones((8, 8), np.bool_), 0, 0) for _ in shown]
    instances = instances_of(shown, np.linspace(0.9, 0.5, len(shown)), crops, IMGSZ)
    return Tracked(instances, torch.arange(len(shown)))


def _raw(boxes: Float64Array, prototypes: Float32Array) -> Raw:
    """Return a network's output with a candidate for each box, in pixels of the image."""
    scale = IMGSZ / SIZE[1]
    return Raw(
        (boxes[None] * scale).astype(np.float32),
        np.full((1, len(boxes)), 0.1, np.float32),
        np.zeros((1, len(boxes), NUM_PROTOTYPES), np.float32),
        prototypes[None],
    )
