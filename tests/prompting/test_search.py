"""The row that is a lost target by its looks and by other evidence together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamseg.prompting.mask_frame import MaskFrame
from streamseg.prompting.search import (
    EVIDENT_MARGIN,
    EVIDENT_ODDS,
    NOTHING,
    RATING_WEIGHT,
    SURE_ODDS,
    Search,
    evident_row,
)
from streamseg.propagation import Proposals
from tests.support.followed_masks import seen
from tests.support.shapes import Shape

# The surface of a shape is its position in the list of shapes.
POLE, CAR = Shape(20, 120, 24, 160, "rectangle"), Shape(90, 120, 80, 64, "rectangle")
WALL, FAR = Shape(90, 120, 88, 72, "rectangle"), replace(CAR, x=250)
RETURNED = [POLE, FAR, WALL]
# The car has a rating of 2, its maximum, everything else one of about 0.
LIKELY = (EVIDENT_ODDS + SURE_ODDS) / 2 - RATING_WEIGHT
SURE = SURE_ODDS - RATING_WEIGHT + 0.3
TOO_LITTLE = EVIDENT_ODDS - RATING_WEIGHT - 0.5
AS_LIKELY = LIKELY + 2 * RATING_WEIGHT
UNLIKELY = -9.0


def frame_of(shapes, detected, track_ids) -> MaskFrame:
    tracked, source = seen(shapes, detected, track_ids)
    return MaskFrame(source(), Proposals(tracked.instances), tracked, {})


def search_for_car() -> Search:
    frame, search = frame_of([POLE, CAR], [0, 1], [1, 2]), Search()
    search.looks.learn(frame.row_looks[1], frame.features, frame.shares[1])
    search.looks.learn_others(frame.row_looks[:1], [1])
    return search


def found(search: Search, odds, *, shapes=RETURNED, ids=(1, -1, -1), own=NOTHING, taken=None) -> int:
    frame = frame_of(shapes, range(len(ids)), ids)
    return evident_row(search, frame, own, taken or {}, np.array(odds))


@pytest.mark.parametrize(
    ("odds", "expected"),
    [
        pytest.param([UNLIKELY, LIKELY, UNLIKELY], [-1, 1, 1], id="likely-twice"),
        pytest.param([UNLIKELY, SURE, UNLIKELY], [1, 1, 1], id="sure"),
        pytest.param([UNLIKELY, TOO_LITTLE, UNLIKELY], [-1, -1, -1], id="only-the-looks"),
        pytest.param([UNLIKELY, UNLIKELY, 5.0], [-1, -1, -1], id="another-is-likelier"),
        pytest.param([UNLIKELY, LIKELY, AS_LIKELY - EVIDENT_MARGIN / 2], [-1, -1, -1], id="no-margin"),
    ],
)
def test_looks_and_other_evidence_must_agree(odds, expected):
    search = search_for_car()
    assert [found(search, odds) for _ in expected] == expected


def test_frames_between_start_again():
    search, likely = search_for_car(), [UNLIKELY, LIKELY, UNLIKELY]
    nothing = [UNLIKELY] * 3
    assert [found(search, odds) for odds in (likely, nothing, likely, likely)] == [-1, -1, -1, 1]


def test_likely_rows_at_different_places_are_not_consistent():
    search, odds = search_for_car(), [UNLIKELY, LIKELY, UNLIKELY]
    farther = [POLE, replace(CAR, x=170), Shape(280, 40, 30, 30, "rectangle")]
    assert [found(search, odds), found(search, odds, shapes=farther)] == [-1, -1]


def test_what_was_seen_beside_the_target_is_something_else():
    search = search_for_car()
    frame = frame_of([POLE, FAR], [0, 1], [1, 2])
    search.looks.learn_others(frame.row_looks[1:], [7])
    odds = [UNLIKELY, SURE + 2, UNLIKELY]
    assert found(search, odds, ids=(1, 7, -1)) == -1


@pytest.mark.parametrize(
    ("own", "taken", "expected"),
    [
        pytest.param(NOTHING, {1: 1.0}, 1, id="taken-by-a-target-that-looks-less-like-it"),
        pytest.param(NOTHING, {1: 2.5}, -1, id="taken-by-a-better-one"),
        pytest.param(1.99, {}, -1, id="no-gain"),
    ],
)
def test_own_place_and_other_targets_count(own: float, taken: dict[int, float], expected: int):
    assert found(search_for_car(), [UNLIKELY, SURE + 1, UNLIKELY], own=own, taken=taken) == expected


def test_a_frame_without_rows_shows_nothing():
    search = search_for_car()
    assert found(search, [], shapes=[POLE], ids=()) == -1
    assert search.evident_box is None
