"""Expected times of stages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.tiers.costs import StageCosts


def test_nothing_is_expected_before_the_first_measurement():
    costs = StageCosts()
    costs.skipped("encode")
    assert costs.expected("encode") is None


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        pytest.param([10.0], 10.0, id="first"),
        pytest.param([10.0, 10.0], 10.0, id="constant"),
        pytest.param([10.0, 40.0], 40.0, id="slower-counts-at-once"),
        pytest.param([10.0, 0.0], 7.0, id="faster-counts-slowly"),
        pytest.param([-1.0], 0.0, id="a-clock-that-ran-backwards"),
    ],
)
def test_expected(measured: list[float], expected: float):
    costs = StageCosts()
    for milliseconds in measured:
        costs.add("encode", milliseconds)
    assert costs.expected("encode") == pytest.approx(expected)


def test_a_batch_counts_per_unit():
    costs = StageCosts()
    costs.add("decode", 12.0, units=4)
    assert costs.expected("decode") == pytest.approx(3.0)


@given(st.floats(1, 50), st.floats(51, 1000))
def test_after_an_overload_a_stage_is_tried_again(usual_ms: float, spike_ms: float):
    costs = StageCosts()
    costs.add("encode", usual_ms)
    costs.add("encode", spike_ms)
    budget_ms = usual_ms * 1.1
    for _ in range(500):
        if costs.expected("encode") <= budget_ms:  # type: ignore[operator]
            return
        costs.skipped("encode")
    pytest.fail("the stage was never tried again")


@given(st.floats(10, 1000), st.integers(1, 300))
def test_a_stage_that_is_always_slow_is_not_tried_again(milliseconds: float, num_skipped: int):
    costs = StageCosts()
    costs.add("encode", milliseconds)
    for _ in range(num_skipped):
        costs.skipped("encode")
    assert costs.expected("encode") == pytest.approx(milliseconds)
