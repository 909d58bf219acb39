"""First-seen times of tracks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting.history import FIRST_SEEN_MEMORY_SECONDS, FirstSeen


@pytest.mark.parametrize(
    ("frames", "after", "expected"),
    [
        pytest.param([{1}, {1, 2}], 0.0, {2}, id="later"),
        pytest.param([{1, 2}, {1, 2}], 0.0, set(), id="present-before"),
        pytest.param([{1}, {2}, {1, 2}], 0.0, {2}, id="returned"),
        pytest.param([{1}, {1, 2}, {1}], 0.0, set(), id="gone"),
        pytest.param([{1}, {1, 2}], float("-inf"), {1, 2}, id="all-after-the-unknown-past"),
        pytest.param([set()], float("-inf"), set(), id="no-tracks"),
    ],
)
def test_started_after(frames: list[set[int]], after: float, expected: set[int]):
    first_seen = FirstSeen()
    for index, ids in enumerate(frames):
        first_seen.update(ids, float(index))
    assert first_seen.started_after(after) == expected


def test_without_frames():
    assert FirstSeen().started_after(float("-inf")) == frozenset()


@pytest.mark.slow
@given(st.lists(st.sets(st.integers(0, 6), max_size=5), min_size=1, max_size=20), st.integers(-1, 20))
def test_equals_a_full_search(frames: list[set[int]], after: int):
    first_seen = FirstSeen()
    for index, ids in enumerate(frames):
        first_seen.update(ids, float(index))
    began = {one: min(index for index, ids in enumerate(frames) if one in ids) for one in set().union(*frames)}
    assert first_seen.started_after(float(after)) == {one for one in frames[-1] if began[one] > after}


def test_only_tracks_gone_for_long_are_forgotten():
    first_seen = FirstSeen()
    for second in range(int(3 * FIRST_SEEN_MEMORY_SECONDS)):
        first_seen.update({0, 10 + second}, float(second))
    assert FIRST_SEEN_MEMORY_SECONDS < len(first_seen) < 1.5 * FIRST_SEEN_MEMORY_SECONDS
    assert first_seen.started_after(0.0) == {10 + second}
