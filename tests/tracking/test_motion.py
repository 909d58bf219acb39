"""Predicted positions: rigid offsets, and a filter for irregular frame intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.tracking.motion import Motion, rigid_offset

IMAGE_SIZE = (240, 320)


def box(x: float, y: float = 100.0, width: float = 40.0, height: float = 40.0) -> np.ndarray:
    return np.array([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]])


@pytest.mark.parametrize(
    ("low", "high", "offset"),
    [
        pytest.param(0, 0, 0, id="no movement"),
        pytest.param(3, 3, 3, id="both edges equally"),
        pytest.param(-2, 2, 0, id="grown on both sides"),
        pytest.param(2, -2, 0, id="shrunk on both sides"),
        pytest.param(0, 6, 3, id="grown on one side"),
        pytest.param(0, -6, 0, id="hidden from the high side: the low edge decides"),
        pytest.param(6, 0, 0, id="hidden from the low side: the high edge decides"),
        pytest.param(-5, -25, -5.77, id="moving while being hidden: mostly the closer edge"),
    ],
)
def test_rigid_offset(low, high, offset):
    assert rigid_offset(np.array([low], float), np.array([high], float)) == pytest.approx([offset], abs=0.01)


@given(low=st.floats(-1e3, 1e3), high=st.floats(-1e3, 1e3))
def test_rigid_offset_lies_between_the_edges(low, high):
    offset = rigid_offset(np.array([low]), np.array([high]))[0]
    assert min(low, high) - 1e-9 <= offset <= max(low, high) + 1e-9


def test_constant_speed_is_estimated_from_irregular_frames():
    times = np.cumsum([0.0, 0.03, 0.1, 0.03, 0.3, 0.05, 0.2])
    motion = Motion.start(box(50), IMAGE_SIZE)
    for earlier, later in itertools.pairwise(times):
        motion = motion.predicted(later - earlier).corrected(box(50 + 100 * later), later - earlier)
    assert motion.velocity[0] == pytest.approx([100, 0], abs=3)
    assert motion.predicted(0.5).boxes == pytest.approx(box(50 + 100 * (times[-1] + 0.5)), abs=3)


@given(gap=st.floats(0.001, 1.0), share=st.floats(0.05, 0.95))
def test_two_predictions_equal_one(gap, share):
    motion = Motion.start(box(50), IMAGE_SIZE).predicted(0.1).corrected(box(60), 0.1)
    once, twice = motion.predicted(gap), motion.predicted(gap * share).predicted(gap * (1 - share))
    assert twice.boxes == pytest.approx(once.boxes)
    assert twice.variance == pytest.approx(once.variance)


def test_uncertainty_grows_with_time():
    motion = Motion.start(box(50), IMAGE_SIZE)
    deviations = [motion.predicted(seconds).deviation[0] for seconds in (0.0, 0.1, 0.5, 1.0)]
    assert deviations == sorted(deviations)
    assert deviations[0] < deviations[-1]


def test_extrapolation_is_limited():
    motion = Motion.start(box(50), IMAGE_SIZE).predicted(0.1).corrected(box(60), 0.1)
    assert motion.predicted(3600.0).boxes == pytest.approx(motion.predicted(10.0).boxes)


def test_object_going_behind_a_wall_keeps_its_size_and_speed():
    motion = Motion.start(box(50), IMAGE_SIZE)
    for frame in range(1, 31):
        x = 50 + 4 * frame
        visible = box(x)
        visible[0, 2] = min(visible[0, 2], 160)
        motion = motion.predicted(1 / 30).corrected(visible, 1 / 30)
    assert motion.velocity[0, 0] == pytest.approx(120, abs=15)
    assert motion.centre[0, 0] == pytest.approx(170, abs=6)
    assert motion.size[0, 0] == pytest.approx(40, abs=8)


def test_approaching_object_grows():
    motion = Motion.start(box(100), IMAGE_SIZE)
    for frame in range(1, 31):
        motion = motion.predicted(1 / 30).corrected(box(100, width=40 + 2 * frame, height=40 + 2 * frame), 1 / 30)
    assert motion.size[0] == pytest.approx([100, 100], abs=15)
    assert motion.centre[0] == pytest.approx([100, 100], abs=1)


def test_tracks_are_independent_of_each_other():
    boxes = np.concatenate((box(50), box(100, 60, 20, 80), box(200, 150, 90, 30)))
    seen = boxes + np.array([[3, 1, 3, 1], [0, 2, 5, 2], [-4, 0, -4, 6]])
    together = Motion.start(boxes, IMAGE_SIZE).predicted(0.1).corrected(seen, 0.1)
    for row in range(3):
        one = Motion.start(boxes[row : row + 1], IMAGE_SIZE).predicted(0.1).corrected(seen[row : row + 1], 0.1)
        assert together[np.array([row])].boxes == pytest.approx(one.boxes)


def test_no_tracks():
    none = Motion.start(np.zeros((0, 4)), IMAGE_SIZE)
    assert len((none + none).predicted(0.1).corrected(np.zeros((0, 4)), 0.1)) == 0
    assert none.boxes.shape == (0, 4)
