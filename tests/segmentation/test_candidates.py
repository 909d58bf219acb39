"""Selection of detections by score and by search regions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.engines import Raw
from streamseg.geometry import box_iou, letterbox
from streamseg.segmentation.candidates import AROUND_POINT, EXPECTED_IOU, FOUND_IOU, POINT_CONF, select_detections
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions

PLACE = letterbox((64, 64), 64)
BIG, SAME, PART, FAR = [0, 0, 40, 60], [1, 1, 40, 60], [4, 4, 30, 24], [44, 4, 60, 60]


def raw_of(candidates):
    """Return the network output for one image, with a (box, score) per anchor."""
    boxes = np.array([box for box, _ in candidates], np.float32).reshape(1, -1, 4)
    scores = np.array([score for _, score in candidates], np.float32).reshape(1, -1)
    return Raw(boxes, scores, np.zeros((1, len(candidates), 32), np.float32), np.zeros((1, 32, 16, 16), np.float32))


def select(
    candidates, *, prompted=(), expected=(), points=(), conf=0.25, iou=0.7, max_det=300, expected_conf=0.02, place=PLACE
):
    regions = SearchRegions(
        *(np.array(boxes, np.float64).reshape(-1, 4) for boxes in (prompted, expected)),
        np.array(points, np.float64).reshape(-1, 2),
    )
    anchors, boxes = select_detections(
        raw_of(candidates), 0, place, conf=conf, iou=iou, max_det=max_det, regions=regions, expected_conf=expected_conf
    )
    return anchors.tolist(), boxes.tolist()


ALL = [(BIG, 0.9), (SAME, 0.8), (PART, 0.1), (FAR, 0.6)]


@pytest.mark.parametrize(
    ("options", "anchors"),
    [
        pytest.param({}, [0, 3], id="no regions"),
        pytest.param({"expected": [PART]}, [0, 3, 2], id="low score, expected"),
        pytest.param({"expected": [[5, 5, 31, 25]]}, [0, 3, 2], id="moved slightly"),
        pytest.param({"expected": [[20, 30, 40, 50]]}, [0, 3], id="no anchor fits"),
        pytest.param({"expected": [PART], "expected_conf": 0.1}, [0, 3], id="expected_conf is exclusive"),
        pytest.param({"expected": [PART], "expected_conf": 1}, [0, 3], id="expected_conf 1 disables it"),
        pytest.param({"expected": [BIG, FAR]}, [0, 3], id="detected anyway"),
        pytest.param({"expected": [PART, PART, [5, 4, 30, 24]]}, [0, 3, 2], id="expected several times, selected once"),
        pytest.param({"expected": [PART], "max_det": 2}, [0, 3], id="at most max_det"),
        pytest.param({"expected": [[-50, -50, -20, -20]]}, [0, 3], id="expected outside the image"),
        pytest.param({"prompted": [PART]}, [0, 3, 2], id="prompted"),
        pytest.param({"prompted": [FAR]}, [0, 3], id="prompted, replaces the detection"),
        pytest.param({"prompted": [[50, 50, 52, 52]]}, [0, 3], id="prompted, poor fit"),
        pytest.param({"prompted": [PART], "expected": [PART]}, [0, 3, 2], id="prompted and expected"),
        pytest.param({"points": [[10, 10]]}, [0, 3, 2], id="low score around a point"),
        pytest.param({"points": [[10, 10], [11, 11]]}, [0, 3, 2], id="around two points, selected once"),
        pytest.param({"points": [[10, 10]], "max_det": 2}, [0, 3], id="around a point: at most max_det"),
        pytest.param({"points": [[50, 30]]}, [0, 3], id="nothing with a low score around the point"),
        pytest.param({"points": [[-5, 500]]}, [0, 3], id="point outside the image"),
    ],
)
def test_selected_anchors(options, anchors):
    selected, _ = select(ALL, **options)
    assert sorted(selected) == sorted(anchors)
    scores = [ALL[anchor][1] for anchor in selected]
    assert scores == sorted(scores, reverse=True)


def test_prompted_box_is_kept_and_expected_box_becomes_that_of_the_anchor():
    drawn = [42.0, 2, 62, 62]
    anchors, boxes = select(ALL, prompted=[drawn], expected=[[5, 5, 31, 25]])
    assert boxes[anchors.index(3)] == drawn
    assert boxes[anchors.index(2)] == PART


def test_prompted_boxes_are_exempt_from_max_det():
    anchors, boxes = select(ALL, prompted=[PART, FAR], max_det=1)
    assert sorted(anchors) == [2, 3]
    assert sorted(boxes) == sorted([[float(v) for v in PART], [float(v) for v in FAR]])


def test_prompted_box_is_clipped_to_the_image_and_dropped_outside():
    _, boxes = select(ALL, prompted=[[44, 4, 80, 80]])
    assert [44, 4, 64, 64] in boxes
    assert len(select(ALL, prompted=[[70, 70, 90, 90]])[0]) == 2


def test_boxes_are_in_pixels_of_the_source_image():
    place = letterbox((128, 128), 64)
    anchors, boxes = select(ALL, expected=[[8, 8, 60, 48]], place=place)
    assert boxes[anchors.index(2)] == [8, 8, 60, 48]


def test_network_without_candidates():
    assert select([], expected=[PART]) == ([], [])


boxes = st.tuples(*(st.integers(0, 60) for _ in range(4))).map(
    lambda v: [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 2, max(v[1], v[3]) + 2]
)
candidates = st.lists(st.tuples(boxes, st.floats(0, 1, width=32)), min_size=1, max_size=25)


@pytest.mark.slow
@given(candidates, st.lists(boxes, max_size=4))
def test_expected_boxes_only_add_detections(predicted, expected):
    alone, alone_boxes = select(predicted)
    anchors, found = select(predicted, expected=expected)
    assert set(alone) <= set(anchors)
    assert len(anchors) == len(set(anchors))
    for anchor, box in zip(anchors, found, strict=True):
        if anchor in alone:
            continue
        overlap = box_iou(torch.tensor([box]), torch.tensor(expected, dtype=torch.float32).clamp(max=64))
        assert overlap.max() >= EXPECTED_IOU - 1e-6
        wanted = torch.tensor(expected, dtype=torch.float32)[overlap.argmax()].clamp(max=64)
        if alone_boxes:
            assert box_iou(wanted[None], torch.tensor(alone_boxes)).max() < FOUND_IOU + 1e-6


@pytest.mark.slow
@given(candidates, st.lists(boxes, min_size=1, max_size=4, unique_by=tuple))
def test_each_prompted_box_has_a_row_and_no_other_row_overlaps_it(predicted, prompted):
    _, found = select(predicted, prompted=prompted)
    clipped = [[float(min(value, 64)) for value in box] for box in prompted]
    clipped = [box for box in clipped if box[2] > box[0] and box[3] > box[1]]
    assert all(box in found for box in clipped)
    others = [box for box in found if box not in clipped]
    if others and clipped:
        assert box_iou(torch.tensor(others), torch.tensor(clipped)).max() <= 0.7 + 1e-6


def test_no_regions_constant_is_empty():
    assert select(ALL) == select(ALL, prompted=NO_REGIONS.prompted, expected=NO_REGIONS.expected)


def test_a_point_adds_the_best_few_and_none_that_overlaps_a_detection():
    nested = [([n, n, 63 - n, 63 - n], 0.2 - 0.005 * n) for n in range(AROUND_POINT + 3)]
    anchors, _ = select([(BIG, 0.9), (SAME, 0.2), *nested], points=[[31, 31]], iou=0.95)
    assert 1 not in anchors, "it is the detection again"
    assert anchors == [0, *range(2, 2 + AROUND_POINT)]


@pytest.mark.parametrize(
    ("score", "expected_conf", "is_added"),
    [
        (0.2, 0.05, True),
        (POINT_CONF + 0.001, 0.05, True),
        (POINT_CONF - 0.001, 0.05, False),
        (0.006, 0.005, True),
        (0.2, 0.25, False),
        (0.2, 1.0, False),
    ],
    ids=["low", "very low", "too low", "lower by the settings", "off", "off by 1"],
)
def test_how_low_a_candidate_around_a_point_may_score(score, expected_conf, is_added):
    anchors, _ = select([(FAR, 0.9), (PART, score)], points=[[10, 10]], expected_conf=expected_conf)
    assert anchors == [0, 1][: 1 + is_added]


@pytest.mark.slow
@given(candidates, st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63)), max_size=4))
def test_points_only_add_detections_that_contain_one(predicted, points):
    alone, _ = select(predicted)
    anchors, found = select(predicted, points=points)
    assert set(alone) <= set(anchors)
    assert len(anchors) == len(set(anchors)) <= len(alone) + AROUND_POINT * len(points)
    for anchor, (x0, y0, x1, y1) in zip(anchors, found, strict=True):
        assert anchor in alone or any(x0 <= x <= x1 and y0 <= y <= y1 for x, y in points)
