"""Targets that are not at their place any more are found by what they look like, or lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamseg.prompting import PromptSet, PromptTracker
from streamseg.prompting.mask_frame import MaskFrame
from streamseg.prompting.relocation import Relocator
from streamseg.propagation import Proposals
from streamseg.structures.prompt import PointPrompt
from tests.support.followed_masks import seen
from tests.support.shapes import Shape

# The surface of a shape is its position in the list of shapes.
POLE, CAR = Shape(20, 120, 24, 160, "rectangle"), Shape(90, 120, 80, 64, "rectangle")
WALL = Shape(90, 120, 88, 72, "rectangle")
SIDE, SPOT = Shape(101, 120, 58, 64, "rectangle"), Shape(68, 104, 8, 32, "rectangle")
HOUSE = Shape(90, 120, 160, 116, "rectangle")
FAR = replace(CAR, x=250)
CLICK = PointPrompt("p", ((90.0, 120.0),), (1,))
STILL = [([POLE, CAR], [0, 1], [1, 2])] * 4
"""The car, which a click selects, at its place."""
MOVED = ([POLE, FAR, WALL], [0, 1, 2], [1, -1, -1])
"""The car is far away, and something else at its place."""
HIDDEN = ([POLE, WALL, WALL], [0, 2], [1, -1])
"""Something else is at the car's place, and the car nowhere."""


def run(frames, prompts=(CLICK,)):
    """The selections by frame."""
    tracker, given = PromptTracker(), PromptSet.of(prompts)
    return [
        tracker.update(seen(*frame, seed=index)[0], given, frame_index=index, time_seconds=index / 25)
        for index, frame in enumerate(frames)
    ]


def test_a_target_that_jumped_is_found():
    ((selection,),) = run([*STILL, MOVED])[4:]
    assert selection.rows == (1,)
    assert selection.status.state == "bound"
    assert selection.status.track_id == -1
    assert 0 < selection.status.confidence < 0.9


def test_a_target_that_was_found_is_followed_from_there():
    frames = [*STILL, MOVED, *[([POLE, FAR, WALL], [0, 1, 2], [1, 7, 8])] * 2]
    selections = [one for (one,) in run(frames)]
    assert [one.rows for one in selections[4:]] == [(1,)] * 3
    assert selections[-1].status.track_id == 7
    assert selections[-1].status.confidence < 0.9, "it may be another one"


def test_a_found_target_with_a_track_is_reacquired():
    ((selection,),) = run([*STILL, ([POLE, FAR, WALL], [0, 1, 2], [1, 7, -1])])[4:]
    assert (selection.rows, selection.status.state, selection.status.track_id) == ((1,), "reacquired", 7)


def test_what_is_at_the_place_of_a_hidden_target_is_not_selected():
    ((selection,),) = run([*STILL, HIDDEN])[4:]
    assert (selection.rows, selection.mask) == ((), None)
    assert (selection.status.state, selection.status.confidence) == ("lost", 0.0)


TURNED = ([POLE, CAR, SIDE, SPOT], [0, 1], [1, 2])
"""The car's track goes on, but shows other surfaces on three quarters of the car."""


def test_a_target_that_turns_keeps_its_track_at_less_confidence():
    selections = [one for (one,) in run([*STILL, *[TURNED] * 3])]
    assert [(one.rows, one.status.track_id) for one in selections[4:]] == [((1,), 2)] * 3
    # In the first of these frames, the target is left to its track.
    assert all(0 < one.status.confidence <= 0.6 * selections[3].status.confidence for one in selections[5:])


def test_a_target_that_turns_back_is_as_certain_as_before():
    selections = [one for (one,) in run([*STILL, *[TURNED] * 3, *STILL])]
    assert selections[-1].status.confidence == selections[3].status.confidence


@pytest.mark.parametrize(
    ("frame", "rows"),
    [
        pytest.param(([POLE, FAR, WALL], [0, 1, 2], [1, -1, 2]), (1,), id="it is found elsewhere: the track switched"),
        pytest.param(([POLE, WALL, WALL], [0, 2], [1, 9]), (), id="another track, which never looked like it"),
        pytest.param(HIDDEN, (), id="no track"),
        pytest.param(([POLE, WALL, WALL], [0, 2], [1, 2]), (), id="its own track, which looks like something else"),
    ],
)
def test_a_track_does_not_vouch_for_a_target(frame, rows):
    assert [one.rows for (one,) in run([*STILL, frame, frame])[5:]] == [rows]


def test_a_track_that_switches_to_the_whole_does_not_vouch_for_its_part():
    # The house around the car looks like it by a quarter.
    before, after = ([HOUSE, CAR], [1], [2]), ([HOUSE, CAR], [0], [2])
    selections = [one for (one,) in run([*[before] * 4, after, after])]
    assert [one.rows for one in selections[3:]] == [(0,), (), ()]


def test_what_a_vouched_target_looks_like_is_not_learnt():
    selections = [one for (one,) in run([*STILL, *[TURNED] * 12, HIDDEN])]
    assert selections[-1].rows == (), "the wall is no view of the car"


def test_a_hidden_target_is_found_when_it_comes_back():
    selections = [one for (one,) in run([*STILL, *[HIDDEN] * 3, MOVED, MOVED])]
    assert [one.rows for one in selections[4:]] == [(), (), (), (1,), (1,)]


def test_a_track_that_was_seen_beside_the_target_and_looks_like_it_now_has_switched_to_it():
    together = [([POLE, CAR, FAR], [0, 1, 2], [1, 2, 3])] * 4
    # The object of track 3 takes on the surface of the car.
    selections = [one for (one,) in run([*together, ([POLE, FAR, WALL], [0, 1, 2], [1, 3, -1])])]
    assert (selections[4].rows, selections[4].status.state) == ((1,), "reacquired")


def test_a_track_that_was_seen_beside_the_target_and_looks_as_before_is_not_the_target():
    together = [([POLE, CAR, FAR], [0, 1, 2], [1, 2, 3])] * 4
    selections = [one for (one,) in run([*together, ([POLE, WALL, FAR], [0, 2], [1, 3])])]
    assert selections[4].rows == ()


def test_a_row_of_another_target_is_not_taken():
    # Two clicks, on the car and on the pole; the car is gone.
    both = (CLICK, PointPrompt("q", ((20.0, 120.0),), (1,)))
    car, pole = run([*STILL, HIDDEN], both)[4]
    assert car.rows == ()
    assert pole.rows == (0,)


@pytest.mark.parametrize("num_prompts", [1, 12])
def test_every_lost_target_is_searched_for_in_time(num_prompts: int):
    clicks = [replace(CLICK, prompt_id=str(number)) for number in range(num_prompts)]
    last = run([*STILL, *[HIDDEN] * 2, *[MOVED] * 3], clicks)[-1]
    assert [one.rows for one in last] == [(1,)] * num_prompts


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_target_smaller_than_a_cell_has_no_look_and_does_no_harm(side: int):
    speck = Shape(90, 120, side, side, "rectangle")
    frames = [([POLE, speck, WALL], [0, 1], [1, 2])] * 3 + [([POLE, WALL, WALL], [0, 2], [1, -1])] * 2
    assert [one.status.prompt_id for (one,) in run(frames)] == ["p"] * 5


def test_a_target_without_a_view_is_not_compared():
    tracked = seen([POLE, CAR], [0, 1], [1, 2], seed=0)[0]
    features = tracked.instances.features
    assert features is not None
    frame = MaskFrame(features(), Proposals(tracked.instances), tracked, {})
    relocator = Relocator()
    relocator.learn({"p": np.zeros(frame.features.size, np.float32)}, frame)
    assert relocator.verdicts({"p": None}, {"p": -1}, (), frame) == {}


@pytest.mark.parametrize(("num_rests", "is_known"), [(0, False), (3, False), (4, True)])
def test_a_target_that_rests_changes_as_well(num_rests: int, is_known: bool):
    tracked = seen([POLE, CAR], [0, 1], [1, 2], seed=0)[0]
    features = tracked.instances.features
    assert features is not None
    frame = MaskFrame(features(), Proposals(tracked.instances), tracked, {})
    before, later = (frame.proposals.coverage([row], frame.features.size) for row in (0, 1))
    relocator = Relocator()
    for _ in range(2):
        relocator.learn({"p": before}, frame)
    for _ in range(num_rests):
        relocator.rest(["p", "unknown"])
    relocator.learn({"p": later}, frame)
    verdicts = relocator.verdicts({"p": later}, {"p": 1}, ("p",), frame)
    assert ("p" not in verdicts) == is_known
