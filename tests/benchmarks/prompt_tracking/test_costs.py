import pytest

from benchmarks.prompt_tracking.costs import costs

pytestmark = pytest.mark.slow


def test_costs_by_state_and_number():
    cost = costs([1, 3])
    assert {state: list(line) for state, line in cost.items()} == {"bound": [1, 3], "lost": [1, 3]}
    assert all(milliseconds > 0 for line in cost.values() for milliseconds in line.values())
