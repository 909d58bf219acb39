"""The results that wait for a sink."""

from collections import deque
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.pipeline import FrameResult
from streamseg.runtime.sink_slot import ResultSlot, SinkPolicy
from tests.support.stages import make_result

RESULTS = {(source_id, index): make_result(index, source_id=source_id) for source_id in "ab" for index in range(40)}


def key(result: FrameResult | None) -> tuple[str, int] | None:
    return None if result is None else (result.frame.source_id, result.frame.index)


@pytest.mark.parametrize(
    ("keep", "kept", "dropped"),
    [
        pytest.param("oldest", [0, 1], [2, 3], id="files: the new one is dropped"),
        pytest.param("newest", [2, 3], [0, 1], id="displays: the oldest one is dropped"),
    ],
)
def test_full_slot_drops_by_its_policy(keep: Literal["oldest", "newest"], kept: list[int], dropped: list[int]):
    slot = ResultSlot(SinkPolicy("x", capacity=2, keep=keep))
    lost = [slot.put(RESULTS["a", index]) for index in range(4)]
    assert [result.frame.index for result in lost if result is not None] == dropped
    assert [result.frame.index for result in slot.clear()] == kept
    assert len(slot) == 0


def test_sources_have_room_of_their_own():
    slot = ResultSlot(SinkPolicy("x", capacity=1, keep="newest"))
    assert slot.put(RESULTS["a", 0]) is None
    assert slot.is_full("a")
    assert not slot.is_full("b")
    assert slot.put(RESULTS["b", 0]) is None
    assert key(slot.put(RESULTS["a", 1])) == ("a", 0)
    assert [key(slot.take()) for _ in range(3)] == [("b", 0), ("a", 1), None]


def test_capacity_is_at_least_one():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ResultSlot(SinkPolicy("x", capacity=0))


@given(
    st.integers(1, 4),
    st.sampled_from(["oldest", "newest"]),
    st.lists(st.sampled_from(["a", "b", "take", "clear"]), max_size=40),
)
def test_slot_is_bounded_ordered_and_accounts_for_every_result(
    capacity: int, keep: Literal["oldest", "newest"], steps: list[str]
):
    """Compared with a model: one queue per source."""
    slot = ResultSlot(SinkPolicy("x", capacity=capacity, keep=keep))
    model: dict[str, deque[int]] = {"a": deque(), "b": deque()}
    num_put = {"a": 0, "b": 0}
    num_out = 0
    for step in steps:
        if step in model:
            index, num_put[step] = num_put[step], num_put[step] + 1
            dropped = key(slot.put(RESULTS[step, index]))
            if len(model[step]) < capacity:
                assert dropped is None
                model[step].append(index)
            elif keep == "oldest":
                assert dropped == (step, index)
            else:
                assert dropped == (step, model[step].popleft())
                model[step].append(index)
            num_out += dropped is not None
        else:
            taken = [slot.take()] if step == "take" else slot.clear()
            for result in taken:
                if result is not None:
                    assert model[result.frame.source_id].popleft() == result.frame.index
                    num_out += 1
        assert len(slot) == len(model["a"]) + len(model["b"])
        assert all(slot.is_full(name) == (len(model[name]) == capacity) for name in model)
    assert sum(num_put.values()) == num_out + len(slot)
