"""Cost of tracked prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.object_tracking.masks import instances_of
from streamseg.prompting import PromptSet, PromptTracker
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import PointPrompt

__all__ = ["costs"]

NUM_ROUNDS = 40


def costs(numbers: Sequence[int]) -> dict[str, dict[int, float]]:
    """Return milliseconds per frame by number of prompts: bound, and lost among 30 other objects."""
    rng = np.random.default_rng(0)
    boxes = np.zeros((60, 4))
    boxes[:, :2] = rng.uniform((0, 0), (1100, 560), (60, 2))
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(40, 160, (60, 2))
    crops = [CropMask(np.ones((8, 8), np.bool_), 0, 0) for _ in boxes]
    instances = instances_of(boxes, np.linspace(0.9, 0.5, 60), crops)
    vectors = rng.normal(size=(60, 132)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    instances = replace(instances, embeddings=torch.from_numpy(vectors))
    present = Tracked(instances[:30], torch.arange(1, 31))
    others = Tracked(instances[30:], torch.arange(31, 61))
    centres = ((boxes[:30, :2] + boxes[:30, 2:]) / 2).tolist()
    candidates: dict[str, Callable[[], object]] = {}
    for number in numbers:
        prompts = PromptSet.of(
            PointPrompt(f"p{place}", ((centres[place % 30][0], centres[place % 30][1]),), (1,))
            for place in range(number)
        )
        for state, later in (("bound", present), ("lost", others)):
            candidates[f"{state} {number}"] = _updates(prompts, present, later)
    least = _least_cpu_ms(candidates)
    return {state: {number: least[f"{state} {number}"] for number in numbers} for state in ("bound", "lost")}


def _least_cpu_ms(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the minimum CPU time in milliseconds over `NUM_ROUNDS` rounds of interleaved runs."""
    least = dict.fromkeys(candidates, float("inf"))
    for _ in range(NUM_ROUNDS):
        for name, function in candidates.items():
            started = time.process_time()
            function()
            least[name] = min(least[name], (time.process_time() - started) * 1e3)
    return {name: round(milliseconds, 4) for name, milliseconds in least.items()}


def _updates(prompts: PromptSet, first: Tracked, later: Tracked) -> Callable[[], object]:
    """Return a function that updates the prompt tracker with one more frame."""
    tracker = PromptTracker()
    for index in range(3):
        tracker.update(first, prompts, frame_index=index, time_seconds=index / 30)
    count = iter(range(3, 1 << 30))

    def update() -> object:
        index = next(count)
        return tracker.update(later, prompts, frame_index=index, time_seconds=index / 30)

    return update
