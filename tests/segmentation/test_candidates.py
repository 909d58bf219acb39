"""What the network says, and which of it is taken: by score, and where a guide points."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.engines import Raw
from streamseg.geometry import box_iou, letterbox
from streamseg.segmentation.candidates import EXPECTED_IOU, FOUND_IOU, select_detections
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions

PLACE = letterbox((64, 64), 64)
BIG, SAME, PART, FAR = [0, 0, 40, 60], [1, 1, 40, 60], [4, 4, 30, 24], [44, 4, 60, 60]


def raw_of(answers):
    """A network's answer for one picture: (box, score) at each anchor."""
    boxes = np.array([box for box, _ in answers], np.float32).reshape(1, -1, 4)
    scores = np.array([score for _, score in answers], np.float32).reshape(1, -1)
    return Raw(boxes, scores, np.zeros((1, len(answers), 32), np.float32), np.zeros((1, 32, 16, 16), np.float32))


def choose(answers, *, prompted=(), expected=(), conf=0.25, iou=0.7, max_det=300, expected_conf=0.02, place=PLACE):
    guide = SearchRegions(*(np.array(boxes, np.float64).reshape(-1, 4) for boxes in (prompted, expected)))
    anchors, boxes = select_detections(
        raw_of(answers), 0, place, conf=conf, iou=iou, max_det=max_det, guide=guide, expected_conf=expected_conf
    )
    return anchors.tolist(), boxes.tolist()


ALL = [(BIG, 0.9), (SAME, 0.8), (PART, 0.1), (FAR, 0.6)]


@pytest.mark.parametrize(
    ("options", "anchors"),
    [
        pytest.param({}, [0, 3], id="no guide"),
        pytest.param({"expected": [PART]}, [0, 3, 2], id="a low score where it is expected"),
        pytest.param({"expected": [[5, 5, 31, 25]]}, [0, 3, 2], id="it has moved a little"),
        pytest.param({"expected": [[20, 30, 40, 50]]}, [0, 3], id="nothing fits there"),
        pytest.param({"expected": [PART], "expected_conf": 0.1}, [0, 3], id="more than expected_conf, not as much"),
        pytest.param({"expected": [PART], "expected_conf": 1}, [0, 3], id="never"),
        pytest.param({"expected": [BIG, FAR]}, [0, 3], id="what is found is not looked for"),
        pytest.param({"expected": [PART, PART, [5, 4, 30, 24]]}, [0, 3, 2], id="expected several times, found once"),
        pytest.param({"expected": [PART], "max_det": 2}, [0, 3], id="no more than max_det"),
        pytest.param({"expected": [[-50, -50, -20, -20]]}, [0, 3], id="expected outside the picture"),
        pytest.param({"prompted": [PART]}, [0, 3, 2], id="a box that is asked for"),
        pytest.param({"prompted": [FAR]}, [0, 3], id="takes the place of what is found there"),
        pytest.param({"prompted": [[50, 50, 52, 52]]}, [0, 3], id="the best there is, however bad"),
        pytest.param({"prompted": [PART], "expected": [PART]}, [0, 3, 2], id="asked for and expected"),
    ],
)
def test_chosen(options, anchors):
    chosen, _ = choose(ALL, **options)
    assert sorted(chosen) == sorted(anchors)
    scores = [ALL[anchor][1] for anchor in chosen]
    assert scores == sorted(scores, reverse=True)


def test_a_prompted_box_keeps_its_place_and_an_expected_one_takes_that_of_the_anchor():
    drawn = [42.0, 2, 62, 62]
    anchors, boxes = choose(ALL, prompted=[drawn], expected=[[5, 5, 31, 25]])
    assert boxes[anchors.index(3)] == drawn
    assert boxes[anchors.index(2)] == PART


def test_prompted_boxes_stay_whatever_max_det_is():
    anchors, boxes = choose(ALL, prompted=[PART, FAR], max_det=1)
    assert sorted(anchors) == [2, 3]
    assert sorted(boxes) == sorted([[float(v) for v in PART], [float(v) for v in FAR]])


def test_a_prompted_box_is_cut_at_the_border_and_none_remains_of_one_outside():
    _, boxes = choose(ALL, prompted=[[44, 4, 80, 80]])
    assert [44, 4, 64, 64] in boxes
    assert len(choose(ALL, prompted=[[70, 70, 90, 90]])[0]) == 2


def test_boxes_are_in_pixels_of_the_source_image():
    place = letterbox((128, 128), 64)
    anchors, boxes = choose(ALL, expected=[[8, 8, 60, 48]], place=place)
    assert boxes[anchors.index(2)] == [8, 8, 60, 48]


def test_a_network_that_says_nothing():
    assert choose([], expected=[PART]) == ([], [])


boxes = st.tuples(*(st.integers(0, 60) for _ in range(4))).map(
    lambda v: [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 2, max(v[1], v[3]) + 2]
)
answers = st.lists(st.tuples(boxes, st.floats(0, 1, width=32)), min_size=1, max_size=25)


@given(answers, st.lists(boxes, max_size=4))
def test_what_is_expected_adds_and_takes_nothing_away(said, expected):
    alone, alone_boxes = choose(said)
    anchors, found = choose(said, expected=expected)
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


@given(answers, st.lists(boxes, min_size=1, max_size=4, unique_by=tuple))
def test_each_prompted_box_has_a_row_and_what_remains_overlaps_none(said, prompted):
    _, found = choose(said, prompted=prompted)
    cut = [[float(min(value, 64)) for value in box] for box in prompted]
    cut = [box for box in cut if box[2] > box[0] and box[3] > box[1]]
    assert all(box in found for box in cut)
    others = [box for box in found if box not in cut]
    if others and cut:
        assert box_iou(torch.tensor(others), torch.tensor(cut)).max() <= 0.7 + 1e-6


def test_no_guide_is_no_guide():
    assert choose(ALL) == choose(ALL, prompted=NO_REGIONS.prompted, expected=NO_REGIONS.expected)
