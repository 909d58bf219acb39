"""Cost of propagation over the number of targets."""

import pytest

from benchmarks.mask_propagation.costs import SIDES, costs
from benchmarks.mask_propagation.plot import draw


@pytest.mark.slow
def test_nothing_followed_costs_nothing_and_the_plot_is_written(tmp_path):
    cost = costs([0, 2], channels=8)
    assert len(cost) == 2 * len(SIDES)
    for line in cost.values():
        assert line[0] < line[2]
        assert line[0] < 0.1
    draw(cost, tmp_path / "plots" / "cost.png")
    assert (tmp_path / "plots" / "cost.png").stat().st_size > 1000
