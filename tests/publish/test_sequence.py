"""Gaps from sequence numbers, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.publish.sequence import SequenceTracker


@pytest.mark.parametrize(
    ("events", "is_new", "gap", "restarts"),
    [
        pytest.param([("a", 0)], [True], 0, 0, id="the first"),
        pytest.param([("a", 57)], [True], 0, 0, id="joined late"),
        pytest.param([("a", 0), ("a", 1), ("a", 2)], [True] * 3, 0, 0, id="nothing lost"),
        pytest.param([("a", 0), ("a", 3)], [True] * 2, 2, 0, id="two lost"),
        pytest.param([("a", 0), ("a", 2), ("a", 5)], [True] * 3, 3, 0, id="lost twice"),
        pytest.param([("a", 4), ("a", 4)], [True, False], 0, 0, id="the same again"),
        pytest.param([("a", 4), ("a", 3), ("a", 5)], [True, False, True], 0, 0, id="an old one"),
        pytest.param([("a", 9), ("b", 0)], [True] * 2, 0, 1, id="a restart"),
        pytest.param([("a", 9), ("b", 5)], [True] * 2, 0, 1, id="a restart, joined late"),
        pytest.param([("a", 9), ("b", 5), ("b", 7)], [True] * 3, 1, 1, id="lost after a restart"),
    ],
)
def test_messages(events, is_new, gap, restarts):
    tracker = SequenceTracker()
    assert [tracker.received("cam0", epoch, seq) for epoch, seq in events] == is_new
    assert tracker.gaps == {"cam0": gap}
    assert tracker.restarts == {"cam0": restarts}


@pytest.mark.parametrize(
    ("sent", "next_seq", "gap"),
    [
        pytest.param(("a", 5), 6, 2, id="the last two were lost"),
        pytest.param(("a", 5), 7, 3, id="and another one after them"),
        pytest.param(("a", 3), 4, 0, id="up to date"),
        pytest.param(("a", 1), 4, 0, id="behind"),
        pytest.param(("b", 9), 4, 0, id="another run"),
    ],
)
def test_what_was_sent_will_not_arrive_any_more(sent, next_seq, gap):
    tracker = SequenceTracker()
    tracker.received("cam0", "a", 3)
    tracker.was_sent("cam0", *sent)
    assert tracker.received("cam0", "a", next_seq)
    assert tracker.gaps == {"cam0": gap}


def test_a_source_that_was_never_received_has_no_gap():
    tracker = SequenceTracker()
    tracker.was_sent("cam0", "a", 5)
    assert tracker.gaps == {}
    tracker.received("cam0", "a", 9)
    assert tracker.gaps == {"cam0": 0}


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_received_and_gaps_add_up(steps):
    """Each step publishes a message that arrives or not, and then perhaps a status."""
    tracker, num_received = SequenceTracker(), 1
    tracker.received("cam0", "a", 0)
    last_known = 0
    for seq, (arrives, status) in enumerate(steps, start=1):
        if arrives:
            num_received += tracker.received("cam0", "a", seq)
            last_known = seq
        if status:
            tracker.was_sent("cam0", "a", seq)
            last_known = seq
    assert num_received + tracker.gaps["cam0"] == last_known + 1
