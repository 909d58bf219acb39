"""Wholes that substitute for their parts."""

from __future__ import annotations

import json

import pytest

from streamseg.prompting.history import record_frame
from streamseg.prompting.parts import PartRelations
from streamseg.prompting.prompt_tracker import WHOLE_CONFIDENCE
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt
from tests.support.parts import ON_SHIRT, PERSON, SHIRT, SPEED, flatten, walk
from tests.support.shapes import Shape
from tests.support.tracked_shapes import Objects, Run, click, frame_of, shifted, status_of

WALL = Shape(160, 100, 300, 180, "rectangle", score=0.5)


def test_walking_person_substitutes_for_the_shirt_until_it_is_visible():
    frames = [*walk(0, 10), *walk(10, 16, shirt=False), *walk(16, 18)]
    assert flatten(Run().statuses(frames, ON_SHIRT)) == [("bound", 2)] * 10 + [("bound", 1)] * 6 + [("bound", 2)] * 2


def test_confidence_of_a_substitute():
    run = Run()
    selections = [
        run(frame_of(objects), ON_SHIRT)[0] for objects in [*walk(0, 10), *walk(10, 12, shirt=False), *walk(12, 13)]
    ]
    assert [one.scores for one in selections[8:]] == [(1.0,), (1.0,), (WHOLE_CONFIDENCE,), (WHOLE_CONFIDENCE,), (1.0,)]
    assert [one.rows for one in selections[8:]] == [(1,), (1,), (0,), (0,), (1,)]


def test_frames_before_the_click_count():
    run = Run()
    run.statuses(walk(0, 12))
    late = click(SHIRT.x + 12 * SPEED, SHIRT.y)
    statuses = flatten(run.statuses([*walk(12, 13), *walk(13, 20, shirt=False)], late))
    assert statuses == [("bound", 2)] + [("bound", 1)] * 7


def test_smallest_whole_substitutes():
    frames: list[Objects] = [
        [(9, WALL), (3, shifted(Shape(50, 110, 50, 90, "rectangle", score=0.6), SPEED * index)), *objects]
        for index, objects in enumerate([*walk(0, 10), *walk(10, 14, shirt=False)])
    ]
    run = Run()
    assert flatten(run.statuses(frames, ON_SHIRT))[9:] == [("bound", 2), *[("bound", 3)] * 4]
    rest: list[Objects] = [[(9, WALL), *objects] for objects in walk(14, 16, shirt=False)]
    assert flatten(run.statuses(rest, ON_SHIRT)) == [("bound", 1)] * 2, "never the wall, which does not move"


def test_part_is_lost_without_its_whole():
    run = Run()
    run.statuses([*walk(0, 10), *walk(10, 12, shirt=False)], ON_SHIRT)
    assert flatten(run.statuses([[], []], ON_SHIRT)) == [("lost", 2)] * 2
    assert flatten(run.statuses(walk(14, 16, shirt=False), ON_SHIRT)) == [("bound", 1)] * 2


def test_part_is_reidentified_on_its_whole_only():
    run = Run()
    run.statuses([*walk(0, 10), *walk(10, 12, shirt=False)], ON_SHIRT)
    beside: list[Objects] = [[*objects, (7, shifted(SHIRT, 60 + SPEED * 12))] for objects in walk(12, 16, shirt=False)]
    assert flatten(run.statuses(beside, ON_SHIRT)) == [("bound", 1)] * 4
    assert flatten(run.statuses(walk(16, 20, shirt_id=8), ON_SHIRT))[-1] == ("reacquired", 8)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        pytest.param(BoxPrompt("click", (30, 75, 70, 125)), ("lost", 2), id="box"),
        pytest.param(PointPrompt("click", ((SHIRT.x, SHIRT.y), (50, 190)), (1, 0)), ("lost", 2), id="background-point"),
        pytest.param(PointPrompt("click", ((45, 95), (55, 105)), (1, 1)), ("bound", 1), id="two-points"),
    ],
)
def test_prompt_may_exclude_the_whole(prompt: SpatialPrompt, expected: tuple[str, int]):
    assert flatten(Run().statuses([*walk(0, 10), *walk(10, 11, shirt=False)], prompt))[-1] == expected


def test_step_selects_the_whole_itself():
    run = Run()
    run.statuses([*walk(0, 10), *walk(10, 12, shirt=False)], ON_SHIRT)
    stepped = click(SHIRT.x, SHIRT.y, step=1)
    selections = [run(frame_of(objects), stepped)[0] for objects in [*walk(12, 13, shirt=False), *walk(13, 15)]]
    assert [(status_of(one), one.scores) for one in selections] == [(("bound", 1), (1.0,))] * 3


def test_restart_and_saved_state_forget_the_wholes():
    run = Run()
    run.statuses([*walk(0, 10), *walk(10, 12, shirt=False)], ON_SHIRT)
    state = json.loads(json.dumps(run.tracker.state_dict(), allow_nan=False))
    run.tracker.restart()
    for later in (run, Run(state)):
        statuses = flatten(
            later.statuses([*walk(12, 14, shirt=False, person=5), *walk(14, 18, person=5, shirt_id=6)], ON_SHIRT)
        )
        assert statuses[:2] == [("lost", -1)] * 2
        assert statuses[-1] == ("reacquired", 6)
    again = flatten(run.statuses([*walk(18, 24, person=5, shirt_id=6), *walk(24, 26, shirt=False, person=5)], ON_SHIRT))
    assert again[-2:] == [("bound", 5)] * 2


def test_unknown_part_has_no_substitute():
    relations = PartRelations()
    frame = record_frame(frame_of([(1, PERSON), (2, SHIRT)]), 0, 0.0)
    relations.update(frame, {})
    assert relations.substitute(2, frame) == -1
    relations.start(2, [])
    assert set(relations.part_ids) == {2}
    relations.retain([])
    assert not relations.part_ids
