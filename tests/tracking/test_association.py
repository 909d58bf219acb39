"""What a pair of a track and a detection costs, and which pairs are taken."""

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
    looks = Appearance.of(detect_shapes(shapes))
    return Expectation(looks, looks, np.full(len(looks), deviation), np.full(len(looks), lost))


def cost(track: Shape, detection: Shape, **options) -> float:
    return float(match_costs(expected([track], **options), Appearance.of(detect_shapes([detection])), 2.0)[0, 0])


DISC = Shape(100, 100, 60, 60)


class TestCosts:
    def test_of_the_same_are_none(self):
        assert cost(DISC, DISC) == pytest.approx(0, abs=0.02)

    def test_rise_with_the_distance(self):
        costs = [cost(DISC, Shape(100 + step, 100, 60, 60)) for step in (0, 5, 10, 20, 40)]
        assert costs == sorted(costs)
        assert costs[-1] > 0.75

    def test_are_infinite_far_apart(self):
        assert cost(DISC, Shape(200, 100, 60, 60)) == np.inf

    def test_fall_with_the_uncertainty(self):
        away = Shape(130, 100, 60, 60)
        assert cost(DISC, away, deviation=20) < cost(DISC, away, deviation=2)

    def test_do_not_forgive_another_size_for_uncertainty(self):
        assert cost(DISC, Shape(100, 100, 30, 30), deviation=50) > 0.6

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(Shape(100, 100, 60, 60, "ring"), id="a ring in the place of a disc"),
            pytest.param(Shape(100, 100, 60, 60, "triangle"), id="a triangle in the place of a disc"),
        ],
    )
    def test_tell_masks_apart_where_boxes_are_the_same(self, other):
        assert cost(DISC, other) > cost(DISC, DISC) + 0.1

    def test_of_a_lost_track_are_higher(self):
        assert cost(DISC, DISC, lost=True) == pytest.approx(cost(DISC, DISC) + LOST_COST)

    def test_count_the_whole_when_it_looks_more_like_it(self):
        half, whole = (Appearance.of(detect_shapes([shape])) for shape in (Shape(85, 100, 30, 60), DISC))
        hidden = Expectation(half, whole, np.array([2.0]), np.array([False]))
        assert match_costs(hidden, whole, 2.0)[0, 0] == pytest.approx(0, abs=0.02)
        assert match_costs(hidden, half, 2.0)[0, 0] == pytest.approx(0, abs=0.02)

    @given(limit=st.floats(0.1, 1.5))
    def test_up_to_the_limit_do_not_depend_on_it(self, limit):
        tracks = expected([DISC, Shape(130, 110, 80, 40), Shape(100, 60, 20, 20)])
        found = Appearance.of(detect_shapes([Shape(104, 98, 60, 60, "ring"), Shape(120, 110, 90, 50, "rectangle")]))
        limited, free = match_costs(tracks, found, limit), match_costs(tracks, found, 3.0)
        assert limited[free <= limit] == pytest.approx(free[free <= limit])
        assert (limited[free > limit] > limit).all()

    @pytest.mark.parametrize(("num_tracks", "num_detections"), [(0, 0), (0, 2), (2, 0)])
    def test_of_nothing(self, num_tracks, num_detections):
        costs = match_costs(expected([DISC] * num_tracks), Appearance.of(detect_shapes([DISC] * num_detections)), 0.75)
        assert costs.shape == (num_tracks, num_detections)
        assert [len(part) for part in assign(costs, 0.75)] == [0, 0]


class TestAssign:
    @pytest.mark.parametrize(
        ("costs", "pairs"),
        [
            pytest.param([[0.1, 0.6], [0.6, 0.1]], [(0, 0), (1, 1)], id="each its own"),
            pytest.param([[0.1, np.inf], [np.inf, np.inf]], [(0, 0)], id="one has none"),
            pytest.param([[0.8]], [], id="too dear"),
            pytest.param([[0.75]], [], id="at the limit is no match"),
            pytest.param([[0.05, 0.7], [0.7, np.inf]], [(0, 0)], id="one perfect pair before two poor ones"),
            pytest.param([[0.3, 0.1], [0.6, 0.2]], [(0, 0), (1, 1)], id="the whole saves most, not each row"),
            pytest.param([[0.2], [0.1]], [(1, 0)], id="two tracks, one detection"),
        ],
    )
    def test_pairs(self, costs, pairs):
        assert list(zip(*(part.tolist() for part in assign(np.array(costs), 0.75)), strict=True)) == pairs

    @given(seed=st.integers(0, 2**16), height=st.integers(0, 4), width=st.integers(0, 4))
    def test_save_the_most_of_all_ways(self, seed, height, width):
        costs = np.random.default_rng(seed).random((height, width))
        rows, columns = assign(costs, 0.6)
        saved = (0.6 - costs[rows, columns]).sum()
        short, long_ = sorted((height, width))
        table = costs if height <= width else costs.T
        ways = (
            sum(max(0.6 - table[row, column], 0) for row, column in enumerate(way))
            for way in itertools.permutations(range(long_), short)
        )
        assert saved == pytest.approx(max(ways, default=0.0))
