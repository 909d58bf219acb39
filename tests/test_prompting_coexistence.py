from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting.coexistence import FORGET_SECONDS, Coexistence


@given(st.lists(st.frozensets(st.integers(1, 8)), max_size=12))
def test_those_seen_in_one_frame_have_met(frames: list[frozenset[int]]):
    coexistence = Coexistence()
    for index, ids in enumerate(frames):
        coexistence.update(ids, index * 0.1)
    for identity in range(1, 9):
        expected = set().union(*(ids for ids in frames if identity in ids))
        assert coexistence.met(identity) == expected


def test_what_has_been_gone_for_long_is_forgotten():
    coexistence = Coexistence()
    coexistence.update({1, 2}, 0.0)
    coexistence.update({2, 3}, 1.0)
    assert coexistence.met(2) == {1, 2, 3}
    coexistence.update({2, 3}, 1.0 + FORGET_SECONDS)
    assert coexistence.met(1) == set()
    assert coexistence.met(2) == {2, 3}


def test_what_comes_back_in_time_is_not():
    coexistence = Coexistence()
    for time_seconds, ids in ((0.0, {1, 2}), (1.0, {2}), (30.0, {1, 2}), (31.0, {1}), (70.0, {1})):
        coexistence.update(ids, time_seconds)
    assert coexistence.met(1) == {1, 2}


def test_of_the_unknown_nothing_is_known():
    assert Coexistence().met(7) == set()
