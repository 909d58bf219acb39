"""A person in a shirt, for tests of parts and wholes."""

from __future__ import annotations

from tests.support.shapes import Shape
from tests.support.tracked_shapes import Objects, click, shifted

PERSON = Shape(50, 120, 60, 170, "rectangle", score=0.7)
SHIRT = Shape(50, 100, 40, 50)
ON_SHIRT = click(SHIRT.x, SHIRT.y)
SPEED = 8.0
"""Walking speed, pixels per frame."""


def walk(begin: int, end: int, *, shirt: bool = True, person: int = 1, shirt_id: int = 2) -> list[Objects]:
    """Return frames of a person who walks to the right, with or without the shirt."""
    frames: list[Objects] = []
    for index in range(begin, end):
        whole = (person, shifted(PERSON, SPEED * index))
        frames.append([whole, (shirt_id, shifted(SHIRT, SPEED * index))] if shirt else [whole])
    return frames


def flatten(statuses: list[list[tuple[str, int]]]) -> list[tuple[str, int]]:
    """Return state and track id of the only prompt, by frame."""
    return [one for (one,) in statuses]
