"""Cost of propagation over the number of targets."""

import pytest

from benchmarks.mask_propagation.costs import NUM_PROTOTYPES, SIDES, STATES, WARM_UP, WINDOW, costs
from benchmarks.mask_propagation.plot import draw
from streamseg.modeling.refiner import Refiner


@pytest.mark.slow
def test_nothing_followed_costs_nothing_and_the_plot_is_written(tmp_path):
    cost = costs([0, 2], Refiner(NUM_PROTOTYPES).eval(), num_frames=WARM_UP + WINDOW)
    assert len(cost) == len(STATES) * len(SIDES)
    for line in cost.values():
        assert line[0] < line[2]
        assert line[0] < 0.1
    draw(cost, tmp_path / "plots" / "cost.png")
    assert (tmp_path / "plots" / "cost.png").stat().st_size > 1000
