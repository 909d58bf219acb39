"""Detections joined with instances by overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Instances
from streamseg.tiers.words.detector import Detections
from streamseg.tiers.words.join import MIN_OVERLAP, join
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

CUP = Shape(80, 120, 60, 90, "rectangle", score=0.9)
HANDLE = Shape(80, 120, 20, 24, "rectangle", score=0.8)
BOX = Shape(250, 60, 70, 50, "rectangle", score=0.7)
INSTANCES = detect_shapes((CUP, HANDLE, BOX))


def box_of(shape: Shape, *, grow: float = 1.0, x: float = 0.0) -> list[float]:
    width, height = shape.width * grow / 2, shape.height * grow / 2
    return [shape.x + x - width, shape.y - height, shape.x + x + width, shape.y + height]


def detected(*found: tuple[list[float], float, int]) -> Detections:
    boxes = np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in found], np.float32)
    return Detections.of(boxes, scores, np.array([text for _, _, text in found], np.int64), IMAGE_SIZE)


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        pytest.param(detected(), [], id="nothing-detected"),
        pytest.param(detected((box_of(CUP), 0.9, 0)), [(0, 0)], id="exact"),
        pytest.param(detected((box_of(CUP, grow=1.2), 0.9, 0)), [(0, 0)], id="larger"),
        pytest.param(detected((box_of(CUP, grow=1.6), 0.9, 0)), [], id="much-larger"),
        pytest.param(detected((box_of(CUP, grow=0.8), 0.9, 0)), [], id="the-object-sticks-out"),
        pytest.param(detected((box_of(HANDLE), 0.9, 0)), [(1, 0)], id="the-part-not-its-whole"),
        pytest.param(detected((box_of(BOX, x=60), 0.9, 0)), [], id="beside"),
        pytest.param(detected((box_of(CUP), 0.5, 1), (box_of(BOX), 0.9, 0)), [(2, 0), (0, 1)], id="two-texts"),
        pytest.param(
            detected((box_of(CUP), 0.5, 1), (box_of(CUP), 0.9, 0)), [(0, 0), (0, 1)], id="one-object-two-texts"
        ),
        pytest.param(detected((box_of(CUP), 0.5, 0), (box_of(CUP), 0.9, 0)), [(0, 0)], id="twice-the-same"),
        pytest.param(detected(([0, 0, 320, 240], 0.9, 0)), [], id="whole-image"),
    ],
)
def test_boxes(detections: Detections, expected: list[tuple[int, int]]):
    assert [(one.row, one.text) for one in join(INSTANCES, detections)] == expected


def test_masks_are_compared_with_masks():
    masks = instance_masks(INSTANCES, [1, 2])
    whole_image = np.array([[0, 0, 320, 240]] * 2, np.float32)
    detections = Detections(whole_image, np.array([0.9, 0.8], np.float32), np.array([0, 0]), tuple(masks))
    assert [one.row for one in join(INSTANCES, detections)] == [1, 2]


def test_no_instances():
    assert join(Instances.empty(IMAGE_SIZE), detected((box_of(CUP), 0.9, 0))) == []


@given(
    st.lists(
        st.tuples(st.lists(st.floats(-50, 400), min_size=4, max_size=4), st.floats(0, 1), st.integers(0, 2)),
        max_size=8,
    )
)
def test_a_detection_joins_one_instance_at_most(found: list[tuple[list[float], float, int]]):
    detections = detected(*found)
    joined = join(INSTANCES, detections)
    assert len(joined) <= len(detections)
    assert len({(one.row, one.text) for one in joined}) == len(joined)
    assert [one.score for one in joined] == sorted((one.score for one in joined), reverse=True)
    scores = set(detections.scores.tolist())
    assert all(one.score in scores for one in joined)
    assert 0 < MIN_OVERLAP < 1


def test_invalid_boxes_are_removed():
    found = detected(
        ([10, 10, 5, 20], 0.9, 0),
        ([float("nan"), 0, 5, 5], 0.8, 0),
        ([-5, -5, 5, 5], 0.7, 0),
        ([400, 0, 500, 9], 0.6, 0),
    )
    np.testing.assert_array_equal(found.boxes, [[0, 0, 5, 5]])
    assert len(Detections.none()) == 0
