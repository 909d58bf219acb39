"""One prompt and its hypotheses, frame by frame."""

from __future__ import annotations

import pytest

from streamseg.prompting import select
from streamseg.prompting.history import FrameRecord, record_frame
from streamseg.prompting.target import Hypothesis, Target, carry, is_step
from streamseg.prompting.transform import inner_point
from streamseg.structures.instances import TENTATIVE
from streamseg.structures.prompt import BoxPrompt, SpatialPrompt
from tests.support.tracked_shapes import BOX, CLICK, CUP, HANDLE, Objects, click, frame_of, shifted


def frame(objects: Objects, index: int = 0) -> FrameRecord:
    return record_frame(frame_of(objects), index, index / 10)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param([(-1, shifted(CUP, 10))], (TENTATIVE, 0), id="still-tentative"),
        pytest.param([(-1, BOX), (6, shifted(CUP, 10))], (6, -1), id="receives-a-track-id"),
        pytest.param([(-1, shifted(CUP, 55))], (TENTATIVE, -1), id="too-far-away"),
        pytest.param([(8, CUP)], (TENTATIVE, -1), id="a-track-from-before-is-another-object"),
        pytest.param([(-1, HANDLE)], (TENTATIVE, -1), id="a-part-of-it"),
        pytest.param([], (TENTATIVE, -1), id="gone"),
    ],
)
def test_tentative_object_is_carried(after: Objects, expected: tuple[int, int]):
    hypothesis = Hypothesis(TENTATIVE, 0)
    carry([hypothesis], frame([(-1, CUP), (8, BOX)]), frame(after, 1))
    assert (hypothesis.track_id, hypothesis.row) == expected
    assert hypothesis.is_gone == (expected == (TENTATIVE, -1))


def test_object_with_a_track_id_is_not_carried():
    hypothesis = Hypothesis(4)
    carry([hypothesis], frame([(4, CUP)]), frame([], 1))
    assert (hypothesis.track_id, hypothesis.is_gone) == (4, False)


@pytest.mark.parametrize(
    ("step", "position"),
    [pytest.param(0, 0, id="first"), pytest.param(2, 2, id="last"), pytest.param(4, 1, id="wraps-around")],
)
def test_step_selects_a_hypothesis(step: int, position: int):
    target = Target(click(1, 1, step=step))
    target.bind([Hypothesis(1), Hypothesis(2), Hypothesis(3)])
    assert target.position == position


def test_steps_skip_invisible_hypotheses():
    target = Target(CLICK, [Hypothesis(1), Hypothesis(2), Hypothesis(3)])
    target.advance(click(CUP.x, CUP.y, step=1), frame([(1, CUP), (3, BOX)]))
    assert target.hypothesis == Hypothesis(3)


def test_own_track_takes_precedence_over_reidentification():
    target = Target(CLICK, [Hypothesis(1)], matched_id=5, confidence=0.7)
    assert target.row_in(frame([(5, CUP)])) == 0
    assert target.matched_id == 5
    assert target.row_in(frame([(5, CUP), (1, BOX)])) == 1
    assert (target.matched_id, target.confidence) == (TENTATIVE, 1.0)


@pytest.mark.parametrize(
    ("hypotheses", "selected"),
    [
        pytest.param([Hypothesis(TENTATIVE), Hypothesis(3)], Hypothesis(3), id="next-visible"),
        pytest.param([Hypothesis(TENTATIVE), Hypothesis(9)], None, id="no-other"),
        pytest.param([Hypothesis(9), Hypothesis(3)], Hypothesis(9), id="not-gone"),
    ],
)
def test_gone_hypothesis_is_dropped(hypotheses: list[Hypothesis], selected: Hypothesis | None):
    target = Target(CLICK, hypotheses)
    target.drop_gone(frame([(3, BOX)]))
    assert target.hypothesis == selected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(click(1, 2), click(1, 2, step=1), True, id="another-step"),
        pytest.param(click(1, 2), click(1, 2, step=1, frame_index=9), True, id="newer-frame"),
        pytest.param(click(1, 2), click(1, 2), False, id="same-prompt"),
        pytest.param(click(1, 2), click(1, 3, step=1), False, id="another-location"),
        pytest.param(click(1, 2), BoxPrompt("click", (1, 2, 3, 4), step=1), False, id="another-kind"),
    ],
)
def test_is_step(before: SpatialPrompt, after: SpatialPrompt, expected: bool):
    assert is_step(before, after) == expected


@pytest.mark.parametrize("row", range(3))
def test_inner_point(row: int):
    record = frame([(1, CUP), (2, BOX), (3, HANDLE)])
    (selection,) = select(record.tracked[row : row + 1], [inner_point("p", record, row)])
    assert selection.rows == (0,)
