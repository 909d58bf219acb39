"""Who is a part of whom: what goes along with a whole, and what only lies on it."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompting.parts import (
    MAX_RESTING_SUBSTITUTION_SECONDS,
    MAX_SUBSTITUTION_SECONDS,
    SUBSTITUTION_RATIO,
    EMBEDDING_INTERVAL_SECONDS,
    MAX_EMBEDDINGS,
    PartRelation,
)
from tests.support.parts import ON_SHIRT, PERSON, SPEED, ids, walk
from tests.support.shapes import Shape
from tests.support.tracked_shapes import FPS, Objects, Run, click, shifted

TABLE = Shape(160, 180, 240, 80, "rectangle", score=0.6)
CUP = Shape(100, 165, 24, 30)
ON_CUP = click(CUP.x, CUP.y)


def table(num_frames: int, *cups: Shape) -> list[Objects]:
    """A table, and a cup on its way; where it is at its end it is gone."""
    return [[(1, TABLE), *([(2, cups[index])] if index < len(cups) else [])] for index in range(num_frames)]


def test_a_part_that_comes_and_goes():
    present = [index < 8 or index % 5 == 0 for index in range(30)]
    frames = [walk(index, index + 1, shirt=there)[0] for index, there in enumerate(present)]
    assert ids(Run().statuses(frames, ON_SHIRT)) == [("bound", 2) if there else ("bound", 1) for there in present]


@pytest.mark.parametrize(
    ("cups", "after"),
    [
        pytest.param([CUP] * 12 + [shifted(CUP, 25 * step, -30 * step) for step in range(1, 4)], 0, id="carried-away"),
        pytest.param([CUP] * 12 + [shifted(CUP, 40 * step) for step in range(1, 4)], 0, id="pushed-along"),
        pytest.param([shifted(CUP, -7 * (11 - step)) for step in range(12)], 0, id="slid-into-the-place"),
        pytest.param([CUP] * 12, round(MAX_RESTING_SUBSTITUTION_SECONDS * FPS), id="gone-from-one-picture-to-the-next"),
    ],
)
def test_a_table_does_not_answer_for_a_cup(cups: list[Shape], after: int):
    """Where nothing was seen of its leaving, it does so for a moment: networks miss objects for some frames."""
    run, frames = Run(), table(len(cups) + 30, *cups)
    run.statuses(frames[:11])
    stands = ids(run.statuses(frames[11:], ON_CUP))
    seen_for = len(cups) - 11
    assert stands == [("bound", 2)] * seen_for + [("bound", 1)] * after + [("lost", 2)] * (30 - after)


def test_a_cup_that_stands_in_front_of_a_person_who_walks_on():
    frames: list[Objects] = []
    for index in range(25):
        cup = [(2, Shape(70, 100, 20, 24))] if index < 14 else []
        frames.append([(1, shifted(PERSON, 3.0 * index)), *cup])
    stands = ids(Run().statuses(frames, click(70, 100)))
    assert stands[14:] == [("lost", 2)] * 11


def test_not_for_ever():
    run = Run()
    together, alone = 12, 60
    run.statuses(walk(0, together), ON_SHIRT)
    still: Objects = [(1, shifted(PERSON, SPEED * (together - 1)))]
    stands = ids(run.statuses([still] * alone, ON_SHIRT))
    bound = stands.count(("bound", 1))
    assert stands == [("bound", 1)] * bound + [("lost", 2)] * (alone - bound)
    assert bound == pytest.approx(SUBSTITUTION_RATIO * (together - 1), abs=1)
    assert bound / FPS < MAX_SUBSTITUTION_SECONDS


def test_the_first_look_of_a_whole_and_the_last_ones_are_kept():
    pair = PartRelation.start(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 0.0)
    appearance = np.eye(MAX_EMBEDDINGS + 3, dtype=np.float32)
    for index, look in enumerate(appearance):
        pair.add(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 1.0, index * EMBEDDING_INTERVAL_SECONDS)
        pair.add_embedding(look, index * EMBEDDING_INTERVAL_SECONDS)
        pair.add_embedding(look, (index + 0.5) * EMBEDDING_INTERVAL_SECONDS)
    assert [pair.resembles_whole(look) for look in appearance] == [True, *[False] * 3, *[True] * (MAX_EMBEDDINGS - 1)]


def test_what_is_not_known_is_like_anything():
    pair = PartRelation.start(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 0.0)
    pair.add(np.array([10.0, 10, 20, 20]), np.array([0.0, 0, 40, 40]), 0.5, 0.0)
    pair.add_embedding(np.array([1.0, 0], dtype=np.float32), 0.0)
    assert pair.resembles_whole(np.array([0.0, 1], dtype=np.float32))
