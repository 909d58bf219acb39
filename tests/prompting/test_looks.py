"""What targets look like, and what was seen beside them."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompting.looks import (
    MAX_OTHER_TRACKS,
    MAX_VIEWS,
    VOTE_WEIGHT,
    TargetLooks,
    mean_features,
    shares_within,
)
from tests.support.followed_masks import SIZE, features_of
from tests.support.shapes import Shape

CAR, POLE = Shape(80, 120, 80, 64, "rectangle"), Shape(260, 120, 32, 160, "rectangle")
FEATURES = features_of([CAR, POLE])


def shares_of(*shapes: Shape) -> np.ndarray:
    """(K, H, W) shares of cells of 8 pixels."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] * 8.0 + 4
    return np.stack([shape.covers(x, y - 8) for shape in shapes]).astype(np.float32)


SHARES = shares_of(CAR, POLE)
LOOKS = mean_features(FEATURES, SHARES)


def learnt(others: np.ndarray = LOOKS[1:]) -> TargetLooks:
    looks = TargetLooks()
    looks.learn(LOOKS[0], FEATURES, SHARES[0])
    looks.learn_others(others, [4] * len(others))
    return looks


def test_the_target_is_rated_above_everything_else():
    own, other = learnt().ratings(LOOKS)
    assert own > 1.5 > 0.2 > other


def test_without_others_the_similarity_alone_counts():
    looks = TargetLooks()
    assert not looks.is_known
    looks.learn(LOOKS[0], FEATURES, SHARES[0])
    assert looks.is_known
    assert looks.ratings(LOOKS[:1]) == pytest.approx([2.0], abs=1e-5)


def test_a_double_of_the_target_beside_it_lowers_its_rating():
    assert learnt(LOOKS[:1]).ratings(LOOKS[:1]) == pytest.approx([1.0], abs=1e-5)


def test_others_are_kept_if_none_is_seen_later():
    looks = learnt()
    before = looks.ratings(LOOKS)
    looks.learn_others(LOOKS[:0], [])
    assert looks.ratings(LOOKS) == pytest.approx(before)
    assert looks.are_others(LOOKS[1:], [4]).all()


@pytest.mark.parametrize(
    ("look", "track_id", "is_other"),
    [
        pytest.param(1, 4, True, id="the-same-track"),
        pytest.param(1, 5, False, id="a-new-track"),
        pytest.param(1, -1, False, id="no-track"),
        pytest.param(0, 4, False, id="switched-to-the-target"),
    ],
)
def test_tracks_beside_the_target_are_others_unless_they_have_switched(look, track_id, is_other):
    assert learnt().are_others(LOOKS[look : look + 1], [track_id]).tolist() == [is_other]


def test_a_double_of_the_target_beside_it_stays_another():
    assert learnt(LOOKS[:1]).are_others(LOOKS[:1], [4]).tolist() == [True]


def test_tracks_are_compared_with_their_latest_look():
    looks = learnt()
    looks.learn_others(LOOKS[:1], [4])
    assert looks.are_others(LOOKS[:1], [4]).tolist() == [True]


def test_only_the_latest_tracks_are_remembered():
    looks = learnt()
    for track_id in range(5, MAX_OTHER_TRACKS + 5):
        looks.learn_others(LOOKS[1:], [track_id])
    known = np.repeat(LOOKS[1:], 3, axis=0)
    assert looks.are_others(known, [4, 5, MAX_OTHER_TRACKS + 4]).tolist() == [False, True, True]


def test_no_looks_have_no_ratings():
    assert learnt().ratings(LOOKS[:0]).shape == (0,)


def test_the_first_view_stays():
    looks = learnt()
    views = np.eye(8, dtype=np.float32)
    for view in views:
        looks.learn(view, FEATURES, SHARES[0])
    others = looks.ratings(LOOKS[1:]) - looks.ratings(LOOKS[1:])
    assert others == pytest.approx([0.0])
    assert looks.ratings(LOOKS[:1]) == pytest.approx(learnt().ratings(LOOKS[:1]), abs=1e-5)
    assert (looks.ratings(views) > 1.5).sum() >= MAX_VIEWS - 1


def test_the_mask_of_the_target_gets_the_votes_anywhere():
    moved = [Shape(200, 60, 80, 64, "rectangle"), Shape(40, 120, 32, 160, "rectangle")]
    votes = learnt().votes(features_of(moved, seed=1), shares_of(*moved))
    assert VOTE_WEIGHT >= votes[0] > 0.6 * VOTE_WEIGHT
    assert votes[1] < 0.2 * VOTE_WEIGHT


def test_masks_without_cells_get_no_votes():
    assert learnt().votes(FEATURES, np.zeros((2, *SIZE), np.float32)) == pytest.approx([0.0, 0.0])


def test_mean_features_have_length_one_and_are_zero_for_an_empty_mask():
    looks = mean_features(FEATURES, np.stack([SHARES[0], np.zeros(SIZE, np.float32)]))
    assert np.linalg.norm(looks, axis=1) == pytest.approx([1.0, 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("other", "is_within"),
    [
        pytest.param(CAR, True, id="the same"),
        pytest.param(Shape(80, 120, 16, 16, "rectangle"), True, id="a part"),
        pytest.param(Shape(110, 120, 80, 64, "rectangle"), True, id="shifted by less than half"),
        pytest.param(POLE, False, id="elsewhere"),
    ],
)
def test_shares_within(other: Shape, is_within: bool):
    shares = shares_of(other)
    assert shares_within(shares, shares.sum(axis=(1, 2)), SHARES[0], 0.3).tolist() == [is_within]
