"""Costs by looks, and the running mean of looks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.tracking.looks import LOOK_RATE, LOOK_WEIGHT, USUAL_LOOK, look_costs, looks_of, mixed_looks
from tests.support.shapes import Shape, detect_shapes

RED, GREEN = (1.0, 0.0), (0.0, 1.0)


def looks(*rows) -> np.ndarray:
    return np.array(rows, np.float32).reshape(len(rows), -1)


class TestLooksOf:
    def test_without_embeddings(self):
        assert looks_of(detect_shapes([Shape(60, 60, 40, 40)])).shape == (1, 0)
        assert looks_of(detect_shapes([])).shape == (0, 0)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_with_embeddings(self, dtype):
        found = dataclasses.replace(detect_shapes([Shape(60, 60, 40, 40)]), embeddings=torch.tensor([RED], dtype=dtype))
        assert looks_of(found).dtype == np.float32
        assert looks_of(found).tolist() == [list(RED)]


class TestCosts:
    def test_equal_looks_reduce_the_cost_and_others_increase_it(self):
        costs = look_costs(looks(RED), looks(RED, GREEN))
        assert costs[0] == pytest.approx([LOOK_WEIGHT * (USUAL_LOOK - 1), LOOK_WEIGHT * USUAL_LOOK])

    def test_unknown_looks_cost_nothing(self):
        assert look_costs(looks((0.0, 0.0), RED), looks(GREEN))[0, 0] == 0

    @pytest.mark.parametrize(("num_tracks", "num_detections", "length"), [(0, 0, 0), (0, 2, 4), (2, 0, 4), (2, 3, 0)])
    def test_nothing_to_compare(self, num_tracks, num_detections, length):
        costs = look_costs(np.zeros((num_tracks, length), np.float32), np.ones((num_detections, length), np.float32))
        assert costs.shape == (num_tracks, num_detections)
        assert not costs.any()


class TestMean:
    def test_unknown_look_is_replaced(self):
        assert mixed_looks(looks((0.0, 0.0)), looks(GREEN), np.array([9.0])).tolist() == [list(GREEN)]

    def test_old_tracks_change_slowly(self):
        mixed = mixed_looks(looks(RED, RED), looks(GREEN, GREEN), np.array([1.0, 1000.0]))
        assert mixed[0, 1] > mixed[1, 1]
        assert mixed[1, 1] / mixed[1, 0] == pytest.approx(LOOK_RATE / (1 - LOOK_RATE))

    def test_opposite_looks_stay_finite(self):
        assert np.isfinite(mixed_looks(looks(RED), -looks(RED), np.array([1.0]))).all()

    @given(angles=st.lists(st.floats(0, np.pi / 2), min_size=1, max_size=6))
    def test_length_is_one(self, angles):
        mean = looks(RED)
        for count, angle in enumerate(angles, start=1):
            mean = mixed_looks(mean, looks((np.cos(angle), np.sin(angle))), np.array([float(count)]))
        assert np.linalg.norm(mean[0]) == pytest.approx(1, abs=1e-5)
