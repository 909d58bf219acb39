"""Costs of pairs of tracks and detections, and the assignment of pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.tracking.appearance import Appearance
from streamseg.tracking.association import LOST_COST, Expectation, assign, match_costs
from tests.support.shapes import Shape, detect_shapes


def expected(shapes: list[Shape], *, deviation: float = 2.0, lost: bool = False) -> Expectation:
    appearance = Appearance.of(detect_shapes(shapes))
    count = len(appearance)
    return Expectation(appearance, appearance, np.full(count, deviation), np.full(count, lost))


def cost(track: Shape, detection: Shape, **options) -> float:
    return float(match_costs(expected([track], **options), Appearance.of(detect_shapes([detection])), 2.0)[0, 0])


DISC = Shape(100, 100, 60, 60)


class TestCosts:
    def test_identical_objects_cost_nothing(self):
        assert cost(DISC, DISC) == pytest.approx(0, abs=0.02)

    def test_cost_increases_with_distance(self):
        costs = [cost(DISC, Shape(100 + step, 100, 60, 60)) for step in (0, 5, 10, 20, 40)]
        assert costs == sorted(costs)
        assert costs[-1] > 0.75

    def test_cost_of_distant_objects_is_infinite(self):
        assert cost(DISC, Shape(200, 100, 60, 60)) == np.inf

    def test_cost_decreases_with_uncertainty(self):
        away = Shape(130, 100, 60, 60)
        assert cost(DISC, away, deviation=20) < cost(DISC, away, deviation=2)

    def test_uncertainty_does_not_excuse_another_size(self):
        assert cost(DISC, Shape(100, 100, 30, 30), deviation=50) > 0.6

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(Shape(100, 100, 60, 60, "ring"), id="ring in place of a disc"),
            pytest.param(Shape(100, 100, 60, 60, "triangle"), id="triangle in place of a disc"),
        ],
    )
    def test_masks_distinguish_objects_with_equal_boxes(self, other):
        assert cost(DISC, other) > cost(DISC, DISC) + 0.1

    def test_lost_track_costs_more(self):
        assert cost(DISC, DISC, lost=True) == pytest.approx(cost(DISC, DISC) + LOST_COST)

    def test_better_of_visible_and_whole_appearance_counts(self):
        half, whole = (Appearance.of(detect_shapes([shape])) for shape in (Shape(85, 100, 30, 60), DISC))
        hidden = Expectation(half, whole, np.array([2.0]), np.array([False]))
        assert match_costs(hidden, whole, 2.0)[0, 0] == pytest.approx(0, abs=0.02)
        assert match_costs(hidden, half, 2.0)[0, 0] == pytest.approx(0, abs=0.02)

    @pytest.mark.slow
    @given(limit=st.floats(0.1, 1.5))
    def test_costs_up_to_the_limit_are_independent_of_it(self, limit):
        tracks = expected([DISC, Shape(130, 110, 80, 40), Shape(100, 60, 20, 20)])
        found = Appearance.of(detect_shapes([Shape(104, 98, 60, 60, "ring"), Shape(120, 110, 90, 50, "rectangle")]))
        limited, unlimited = match_costs(tracks, found, limit), match_costs(tracks, found, 3.0)
        assert limited[unlimited <= limit] == pytest.approx(unlimited[unlimited <= limit])
        assert (limited[unlimited > limit] > limit).all()

    @pytest.mark.parametrize(("num_tracks", "num_detections"), [(0, 0), (0, 2), (2, 0)])
    def test_no_tracks_or_detections(self, num_tracks, num_detections):
        costs = match_costs(expected([DISC] * num_tracks), Appearance.of(detect_shapes([DISC] * num_detections)), 0.75)
        assert costs.shape == (num_tracks, num_detections)
        assert [len(part) for part in assign(costs, 0.75)] == [0, 0]


class TestAssign:
    @pytest.mark.parametrize(
        ("costs", "pairs"),
        [
            pytest.param([[0.1, 0.6], [0.6, 0.1]], [(0, 0), (1, 1)], id="one match each"),
            pytest.param([[0.1, np.inf], [np.inf, np.inf]], [(0, 0)], id="one without a match"),
            pytest.param([[0.8]], [], id="above the limit"),
            pytest.param([[0.75]], [], id="at the limit"),
            pytest.param([[0.05, 0.7], [0.7, np.inf]], [(0, 0)], id="one perfect pair before two poor ones"),
            pytest.param([[0.3, 0.1], [0.6, 0.2]], [(0, 0), (1, 1)], id="largest total saving, not per row"),
            pytest.param([[0.2], [0.1]], [(1, 0)], id="two tracks, one detection"),
        ],
    )
    def test_pairs(self, costs, pairs):
        assert list(zip(*(part.tolist() for part in assign(np.array(costs), 0.75)), strict=True)) == pairs

    @given(seed=st.integers(0, 2**16), height=st.integers(0, 4), width=st.integers(0, 4))
    def test_assignment_maximises_the_saving(self, seed, height, width):
        costs = np.random.default_rng(seed).random((height, width))
        rows, columns = assign(costs, 0.6)
        saved = (0.6 - costs[rows, columns]).sum()
        short, long_ = sorted((height, width))
        table = costs if height <= width else costs.T
        savings = (
            sum(max(0.6 - table[row, column], 0) for row, column in enumerate(columns_of_rows))
            for columns_of_rows in itertools.permutations(range(long_), short)
        )
        assert saved == pytest.approx(max(savings, default=0.0))
