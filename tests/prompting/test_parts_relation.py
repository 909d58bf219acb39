"""Relations of parts and wholes: moving together, or only resting on each other."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompting.parts import (
    EMBEDDING_INTERVAL_SECONDS,
    MAX_EMBEDDINGS,
    MAX_RESTING_SUBSTITUTION_SECONDS,
    MAX_SUBSTITUTION_SECONDS,
    SUBSTITUTION_RATIO,
    PartRelation,
)
from tests.support.parts import ON_SHIRT, PERSON, SPEED, flatten, walk
from tests.support.shapes import Shape
from tests.support.tracked_shapes import FPS, Objects, Run, click, shifted

TABLE = Shape(160, 180, 240, 80, "rectangle", score=0.6)
CUP = Shape(100, 165, 24, 30)
ON_CUP = click(CUP.x, CUP.y)


def table(num_frames: int, *cups: Shape) -> list[Objects]:
    """Return frames of a table and a cup at these positions, without the cup afterwards."""
    return [[(1, TABLE), *([(2, cups[index])] if index < len(cups) else [])] for index in range(num_frames)]


def test_part_that_appears_and_disappears():
    present = [index < 8 or index % 5 == 0 for index in range(30)]
    frames = [walk(index, index + 1, shirt=visible)[0] for index, visible in enumerate(present)]
    assert flatten(Run().statuses(frames, ON_SHIRT)) == [
        ("bound", 2) if visible else ("bound", 1) for visible in present
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cups", "after"),
    [
        pytest.param([CUP] * 12 + [shifted(CUP, 25 * step, -30 * step) for step in range(1, 4)], 0, id="carried-away"),
        pytest.param([CUP] * 12 + [shifted(CUP, 40 * step) for step in range(1, 4)], 0, id="pushed-along"),
        pytest.param([shifted(CUP, -7 * (11 - step)) for step in range(12)], 0, id="slid-into-place"),
        pytest.param([CUP] * 12, round(MAX_RESTING_SUBSTITUTION_SECONDS * FPS), id="gone-from-one-frame-to-the-next"),
    ],
)
def test_table_does_not_substitute_for_a_cup_for_long(cups: list[Shape], after: int):
    """If the cup was not seen leaving, the table substitutes briefly: networks miss objects for some frames."""
    run, frames = Run(), table(len(cups) + 30, *cups)
    run.statuses(frames[:11])
    statuses = flatten(run.statuses(frames[11:], ON_CUP))
    seen_for = len(cups) - 11
    assert statuses == [("bound", 2)] * seen_for + [("bound", 1)] * after + [("lost", 2)] * (30 - after)


def test_person_who_walks_past_a_cup_does_not_substitute():
    frames: list[Objects] = []
    for index in range(25):
        cup = [(2, Shape(70, 100, 20, 24))] if index < 14 else []
        frames.append([(1, shifted(PERSON, 3.0 * index)), *cup])
    statuses = flatten(Run().statuses(frames, click(70, 100)))
    assert statuses[14:] == [("lost", 2)] * 11


def test_substitution_is_limited():
    run = Run()
    together, alone = 12, 60
    run.statuses(walk(0, together), ON_SHIRT)
    still: Objects = [(1, shifted(PERSON, SPEED * (together - 1)))]
    statuses = flatten(run.statuses([still] * alone, ON_SHIRT))
    bound = statuses.count(("bound", 1))
    assert statuses == [("bound", 1)] * bound + [("lost", 2)] * (alone - bound)
    assert bound == pytest.approx(SUBSTITUTION_RATIO * (together - 1), abs=1)
    assert bound / FPS < MAX_SUBSTITUTION_SECONDS


def test_first_and_latest_embeddings_of_a_whole_are_kept():
    relation = PartRelation.start(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 0.0)
    embeddings = np.eye(MAX_EMBEDDINGS + 3, dtype=np.float32)
    for index, embedding in enumerate(embeddings):
        relation.add(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 1.0, index * EMBEDDING_INTERVAL_SECONDS)
        relation.add_embedding(embedding, index * EMBEDDING_INTERVAL_SECONDS)
        relation.add_embedding(embedding, (index + 0.5) * EMBEDDING_INTERVAL_SECONDS)
    assert [relation.resembles_whole(one) for one in embeddings] == [True, *[False] * 3, *[True] * (MAX_EMBEDDINGS - 1)]


def test_everything_resembles_a_whole_without_embeddings():
    relation = PartRelation.start(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 0.0)
    relation.add(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 0.5, 0.0)
    relation.add_embedding(np.array([1.0, 0], dtype=np.float32), 0.0)
    assert relation.resembles_whole(np.array([0.0, 1], dtype=np.float32))
