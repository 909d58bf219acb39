"""Scoring in the benchmark of tracked prompts."""

import numpy as np
import pytest

from benchmarks.prompt_tracking.absences import _reacquired, _returns, absences
from benchmarks.prompt_tracking.scenes import Step, whole_of
from tests.support.prompt_sequences import cup_and_kite
from tests.support.tracked_shapes import CUP, KITE, frame_of


@pytest.mark.parametrize(
    ("selections", "expected"),
    [
        pytest.param([{"1": 0}] * 10 + [{}] * 5 + [{"1": 0}] * 10, [(0.5, True, False)], id="right"),
        pytest.param([{"1": 0}] * 10 + [{}] * 15, [(0.5, False, False)], id="no-selection"),
        pytest.param([{"1": 0}] * 10 + [{"1": 0}] * 5 + [{"1": 1}] * 10, [(0.5, False, True)], id="another"),
        pytest.param([{}] * 25, [], id="never-prompted"),
    ],
)
@pytest.mark.parametrize("num_tentative", [2, 10])
def test_returns(selections: list[dict[str, int]], expected: list[tuple[float, bool, bool]], num_tentative: int):
    steps = cup_and_kite("c" * 10 + "." * 5 + "c" * 10)
    tracked = [frame_of([(1, CUP), (2, KITE)])] * 15 + [frame_of([(-1, CUP), (2, KITE)])] * num_tentative
    tracked += [frame_of([(5, CUP), (2, KITE)])] * (25 - len(tracked))
    returns = _returns(steps, tracked, selections, {1: [*range(10), *range(15, 25)], 2: list(range(25))})
    assert [(round(one.gone_seconds, 3), one.is_right, one.is_wrong) for one in returns] == expected
    assert [one.is_tracked for one in returns] == [num_tentative < 10] * len(expected)


def test_moving_to_another_identity_is_right_if_the_object_is_the_same():
    steps = cup_and_kite("cccc")
    tracked = [frame_of([(identity, CUP), (2, KITE)]) for identity in (1, 1, 7, 7)]
    assert _reacquired(steps, tracked, [{"1": 0}] * 4) == [True]
    assert _reacquired(steps, tracked, [{"1": 0}, {}, {"1": 1}, {"1": 1}]) == [False]
    assert _reacquired(steps, tracked, [{}] * 4) == []


def test_moving_to_the_whole_of_a_part_does_not_count():
    steps = [Step(step.instances, step.time_seconds, np.array([12, 9])) for step in cup_and_kite("cccc")]
    tracked = [frame_of([(1, CUP), (2, KITE)])] * 4
    assert [whole_of(figure) for figure in (9, 12, 17, 18)] == [9, 9, 9, 18]
    assert _reacquired(steps[:3], tracked[:3], [{"12": 0}, {"12": 1}, {"12": 0}]) == []
    assert _reacquired(steps[:2], tracked[:2], [{"9": 1}, {"9": 0}]) == [False], "a part is not its whole"


def test_only_the_prompt_tracker_survives_long_absences():
    rows = {row.method: row for row in absences("sequence", [cup_and_kite("c" * 20 + "." * 15 + "c" * 15)])}
    assert {row.num_long for row in rows.values()} == {1}
    assert (rows["track id"].share_right_long, rows["prompt"].share_right_long) == (0.0, 1.0)
    assert (rows["prompt"].num_found, rows["prompt"].share_found_right, rows["prompt"].purity) == (1, 1.0, 1.0)
    assert rows["track id"].num_found == 0
