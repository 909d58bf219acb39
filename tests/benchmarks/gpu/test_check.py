"""Comparisons with the CPU: what counts as equal, and as close."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.gpu.check import compare, half_differences
from streamseg.engines.torch_engine import TorchEngine
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.segmentation import Segmenter
from streamseg.structures.search_regions import NO_REGIONS
from tests.support.networks import blobs, lively_network


@pytest.fixture(scope="module")
def found():
    with Segmenter(engine=TorchEngine(lively_network(), imgsz=96), conf=0.01, max_det=20) as segmenter:
        return segmenter.segment_batch([blobs((64, 96), seed) for seed in range(3)], [NO_REGIONS] * 3)


def changed(found, *, box=0.0, score=0.0, order=None):
    boxes, scores = found.boxes.clone(), found.scores.clone()
    boxes[0, 0] += box
    scores[0] += score
    instances = replace(found, boxes=boxes, scores=scores)
    return instances if order is None else instances[order]


def test_the_same_results_are_equal(found):
    values = compare(found, found)
    assert values["is_equal"]
    assert values["unmatched_share"] == values["boxes_px"] == values["scores"] == values["mask_pixels"] == 0
    assert values["objects"] == [sum(map(len, found))] * 2


def test_the_order_of_objects_is_free(found):
    rows = torch.arange(len(found[0]) - 1, -1, -1)
    assert compare(found[:1], [changed(found[0], order=rows)])["is_equal"]


@pytest.mark.parametrize(
    ("change", "is_equal"),
    [
        pytest.param({"box": 0.04}, True, id="box within the limit"),
        pytest.param({"box": 0.06}, False, id="box beyond"),
        pytest.param({"score": 0.001}, True, id="score within"),
        pytest.param({"score": 0.003}, False, id="score beyond"),
        pytest.param({"order": torch.arange(19)}, False, id="one of 20 objects is missing"),
    ],
)
def test_limits(found, change, is_equal):
    assert len(found[0]) == 20
    values = compare(found[:1], [changed(found[0], **change)])
    assert values["is_equal"] is is_equal


def test_objects_that_only_one_side_has_count_on_both_sides(found):
    fewer = found[0][torch.arange(10)]
    assert compare([found[0]], [fewer])["unmatched_share"] == 0.5
    assert compare([fewer], [found[0]])["unmatched_share"] == 1.0


def test_no_objects_are_no_proof(found):
    none = found[0][torch.arange(0)]
    assert not compare([none], [none])["is_equal"]


def predictions(scores, *, shift=0.0):
    scores = torch.tensor([scores], dtype=torch.float32)
    boxes = torch.arange(4.0).expand(1, scores.shape[1], 4) + shift
    return DecodedPredictions(boxes, scores, torch.zeros(1, scores.shape[1], 2), torch.zeros(1, 2, 2, 2))


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        pytest.param(predictions([0.51, 0.1]), (0.01, 0.0, True), id="close"),
        pytest.param(predictions([0.53, 0.1]), (0.03, 0.0, False), id="scores"),
        pytest.param(predictions([0.5, 0.2], shift=3.0), (0.0, 3.0, False), id="boxes"),
        pytest.param(predictions([0.5, 0.9]), (0.0, 0.0, True), id="anchors below the threshold do not count"),
        pytest.param(predictions([float("nan"), 0.1]), (None, 0.0, False), id="not a number"),
    ],
)
def test_half_precision(half, expected):
    values = half_differences(half, predictions([0.5, 0.1]))
    assert values["is_close"] is expected[2]
    for name, value in zip(("scores_p99", "boxes_px_p99"), expected, strict=False):
        assert values[name] is None if value is None else np.isclose(values[name], value, atol=1e-6)


def test_half_precision_without_candidates_is_not_close():
    assert half_differences(predictions([0.1]), predictions([0.1])) == {
        "scores_p99": None,
        "boxes_px_p99": None,
        "is_close": False,
    }
