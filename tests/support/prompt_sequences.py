"""A sequence with known rows for the benchmark of tracked prompts."""

from __future__ import annotations

import numpy as np

from benchmarks.prompt_tracking.scenes import FPS, Step
from tests.support.tracked_shapes import CUP, KITE, frame_of, shifted

EMBEDDINGS = {1: (1.0, 0.0, 0.0), 2: (0.0, 1.0, 0.0)}


def cup_and_kite(present: str) -> list[Step]:
    """Return frames of a moving cup, visible if the letter is c, and a kite that is always visible."""
    steps = []
    for index, letter in enumerate(present):
        objects = [(1, shifted(CUP, 2 * index)), (2, KITE)] if letter == "c" else [(2, KITE)]
        instances = frame_of(objects, EMBEDDINGS).instances
        steps.append(Step(instances, index / FPS, np.array([identity for identity, _ in objects])))
    return steps
