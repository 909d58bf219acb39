import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.viewer.allowance import Allowance


@pytest.mark.parametrize(
    ("takes", "waits"),
    [
        pytest.param([(1, 0.0), (1, 0.0)], [0, 0], id="at-once"),
        pytest.param([(2, 0.0), (1, 0.0)], [0, 0.1], id="more-than-there-is"),
        pytest.param([(2, 0.0), (1, 0.1)], [0, 0], id="grown-again"),
        pytest.param([(2, 0.0), (2, 100.0), (1, 100.0)], [0, 0, 0.1], id="grows-to-its-bound"),
        pytest.param([(12, 0.0), (1, 0.5)], [1.0, 0.6], id="a-debt-lasts"),
        pytest.param([(2, 1.0), (1, 0.0)], [0, 0.1], id="time-that-runs-backwards"),
    ],
)
def test_waits(takes: list[tuple[float, float]], waits: list[float]):
    allowance = Allowance(10, 2, 0.0)
    assert [allowance.take(amount, now) for amount, now in takes] == pytest.approx(waits)


@given(st.lists(st.tuples(st.floats(1, 50), st.floats(0, 3)), min_size=1, max_size=60))
def test_whoever_waits_as_told_never_gets_more_than_the_rate(steps: list[tuple[float, float]]):
    allowance = Allowance(10, 20, 0.0)
    now = total = 0.0
    for amount, pause in steps:
        now += pause
        total += amount
        now += allowance.take(amount, now)
        assert total <= 20 + 10 * now + 1e-6
