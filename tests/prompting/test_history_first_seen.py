"""When identities began."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting.history import FIRST_SEEN_MEMORY_SECONDS, FirstSeen


@pytest.mark.parametrize(
    ("frames", "after", "expected"),
    [
        pytest.param([{1}, {1, 2}], 0.0, {2}, id="what-came-later"),
        pytest.param([{1, 2}, {1, 2}], 0.0, set(), id="what-was-there"),
        pytest.param([{1}, {2}, {1, 2}], 0.0, {2}, id="what-was-away-is-not-born-again"),
        pytest.param([{1}, {1, 2}, {1}], 0.0, set(), id="what-has-gone"),
        pytest.param([{1}, {1, 2}], float("-inf"), {1, 2}, id="everything-where-it-is-long-ago"),
        pytest.param([set()], float("-inf"), set(), id="nothing"),
    ],
)
def test_since(frames: list[set[int]], after: float, expected: set[int]):
    first_seen = FirstSeen()
    for index, ids in enumerate(frames):
        first_seen.update(ids, float(index))
    assert first_seen.started_after(after) == expected


def test_of_nothing_there_is_nothing():
    assert FirstSeen().started_after(float("-inf")) == frozenset()


@given(st.lists(st.sets(st.integers(0, 6), max_size=5), min_size=1, max_size=20), st.integers(-1, 20))
def test_as_if_everything_were_looked_up(frames: list[set[int]], after: int):
    first_seen = FirstSeen()
    for index, ids in enumerate(frames):
        first_seen.update(ids, float(index))
    began = {one: min(index for index, ids in enumerate(frames) if one in ids) for one in set().union(*frames)}
    assert first_seen.started_after(float(after)) == {one for one in frames[-1] if began[one] > after}


def test_what_went_long_ago_is_forgotten_and_nothing_else():
    first_seen = FirstSeen()
    for second in range(int(3 * FIRST_SEEN_MEMORY_SECONDS)):
        first_seen.update({0, 10 + second}, float(second))
    assert FIRST_SEEN_MEMORY_SECONDS < len(first_seen) < 1.5 * FIRST_SEEN_MEMORY_SECONDS
    assert first_seen.started_after(0.0) == {10 + second}
