"""A sequence whose rows are known, for the benchmark of prompts that follow."""

from __future__ import annotations

import numpy as np

from benchmarks.prompt_tracking.scenes import FPS, Step
from tests.support.followed import CUP, KITE, moved, seen

LOOKS = {1: (1.0, 0.0, 0.0), 2: (0.0, 1.0, 0.0)}


def film(present: str) -> list[Step]:
    """A cup that moves, seen where the letter is c, and a kite beside it, seen always."""
    steps = []
    for index, letter in enumerate(present):
        objects = [(1, moved(CUP, 2 * index)), (2, KITE)] if letter == "c" else [(2, KITE)]
        instances = seen(objects, LOOKS).instances
        steps.append(Step(instances, index / FPS, np.array([identity for identity, _ in objects])))
    return steps
