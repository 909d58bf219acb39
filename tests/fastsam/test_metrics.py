"""Scores under the names of the originals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.fastsam.metrics import Metric, SegmentMetrics
from tests.support.datasets import coco_folder, coco_labels
from tests.support.images import exact_instances, paint, rectangle

SIZE = (60, 80)
TRUE = [rectangle(SIZE, 5, 5, 30, 15), rectangle(SIZE, 40, 20, 70, 50)]
FALSE = rectangle(SIZE, 5, 40, 25, 55)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """One of two objects is found, and one proposal is wrong."""
    image = paint(TRUE, [(200, 9, 9)] * 2, SIZE)
    folder = coco_folder(tmp_path_factory.mktemp("data"), [(image, coco_labels(TRUE))])
    found = exact_instances([TRUE[0], FALSE], [0.9, 0.8], size=SIZE)
    scores = evaluate_proposals(lambda images: [found], folder)
    return SegmentMetrics(Metric.of(scores.box), Metric.of(scores.mask), scores, {"inference": 1.0})


def test_figures(metrics):
    expected = pytest.approx(51 / 101)  # COCO's AP: precision 1 at recall 0, 0.01 … 0.5
    for metric in (metrics.box, metrics.seg):
        assert [metric.map, metric.map50, metric.map75] == [expected] * 3
        assert (metric.mp, metric.mr) == (1, 0.5)
        assert metric.mean_results() == [1, 0.5, expected, expected]
        assert metric.class_result(0) == (1, 0.5, expected, expected)
        assert metric.fitness() == expected
        assert metric.f1.tolist() == [pytest.approx(2 / 3)]
        for name, value in (("p", 1), ("r", 0.5), ("ap", expected), ("ap50", expected), ("maps", expected)):
            assert getattr(metric, name).tolist() == [value]
        assert metric.ap_class_index.tolist() == [0]


def test_dicts(metrics):
    assert list(metrics.results_dict) == [
        "metrics/precision(B)",
        "metrics/recall(B)",
        "metrics/mAP50(B)",
        "metrics/mAP50-95(B)",
        "metrics/precision(M)",
        "metrics/recall(M)",
        "metrics/mAP50(M)",
        "metrics/mAP50-95(M)",
        "fitness",
    ]
    assert metrics.results_dict["metrics/recall(M)"] == 0.5
    assert metrics.fitness == metrics.results_dict["fitness"] == pytest.approx(102 / 101)
    (row,) = metrics.summary()
    assert (row["Class"], row["Images"], row["Instances"], row["metrics/recall(B)"]) == ("object", 1, 2, 0.5)
    assert metrics.names == {0: "object"}
    assert len(metrics.mean_results()) == len(metrics.class_result(0)) == len(metrics.keys) == 8
    assert metrics.maps.tolist() == [pytest.approx(102 / 101)]


def test_data_without_objects_has_no_scores(tmp_path):
    image = np.full((*SIZE, 3), 90, np.uint8)
    scores = evaluate_proposals(
        lambda images: [exact_instances([], [], size=SIZE)], coco_folder(tmp_path, [(image, [])])
    )
    metric = Metric.of(scores.mask)
    assert all(math.isnan(value) for value in metric.mean_results())
    assert math.isnan(metric.f1[0])
