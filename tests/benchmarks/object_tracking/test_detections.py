"""Simulated detections, clean and degraded."""

import numpy as np
import pytest

from benchmarks.object_tracking.detections import VARIANTS, Variant, detections
from benchmarks.object_tracking.scenes import scene_renderer

TRUTH = scene_renderer(0, 10.0).truth(40)


def detected(variant: Variant, seed: int = 0):
    return detections(TRUTH, variant, np.random.default_rng(seed))


def test_clean_objects_equal_the_ground_truth():
    instances, rows = detected(Variant("objects"))
    assert sorted(rows.tolist()) == np.flatnonzero(~TRUTH.is_part).tolist()
    np.testing.assert_array_equal(instances.boxes.numpy(), TRUTH.boxes[rows])
    assert (instances.scores >= 0.5).all()


def test_nested_includes_parts():
    _, rows = detected(Variant("nested", nested=True))
    assert TRUTH.is_part[rows].any()
    assert not TRUTH.is_part[rows].all()


@pytest.mark.parametrize(
    ("variant", "holds"),
    [
        pytest.param(Variant("", dropout=1.0), lambda instances, rows: len(rows) == 0, id="dropped"),
        pytest.param(
            Variant("", jitter=0.1),
            lambda instances, rows: (np.abs(instances.boxes.numpy() - TRUTH.boxes[rows]).max(axis=1) > 0.1).all(),
            id="jitter",
        ),
        pytest.param(Variant("", low=1.0), lambda instances, rows: (instances.scores < 0.4).all(), id="low scores"),
        pytest.param(Variant("", clutter=9.0), lambda instances, rows: (rows < 0).sum() > 0, id="clutter"),
    ],
)
def test_degradations(variant, holds):
    instances, rows = detected(variant)
    assert len(instances) == len(rows)
    assert holds(instances, rows)


def test_detections_are_sorted_and_reproducible():
    for variant in VARIANTS:
        instances, rows = detected(variant, 3)
        again, same_rows = detected(variant, 3)
        assert (instances.scores.diff() <= 0).all()
        assert (instances.boxes == again.boxes).all()
        assert rows.tolist() == same_rows.tolist()
