"""Whether a refiner still fits after its network was fine-tuned."""

import copy

import pytest
import torch

from streamseg.training.refit import RefinerFit, kept_parts, measure_fit
from streamseg.weights import load_weights
from tests.support.images import ListSource, drawn_sample


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        pytest.param((0.6, 0.7), (0.6, 0.7), True, id="unchanged"),
        pytest.param((0.6, 0.7), (0.65, 0.71), True, id="more than half of its gain"),
        pytest.param((0.6, 0.7), (0.65, 0.69), False, id="less than half"),
        pytest.param((0.6, 0.7), (0.65, 0.65), False, id="no gain"),
        pytest.param((0.6, 0.7), (0.65, 0.60), False, id="worse"),
        pytest.param((0.6, 0.6), (0.6, 0.61), True, id="better than before"),
        pytest.param((0.6, 0.5), (0.6, 0.59), False, id="never any good"),
    ],
)
def test_a_refiner_fits_if_it_keeps_half_of_its_gain(before, after, fits):
    fit = RefinerFit(*before, *after, num_objects=100, is_held_out=True)
    assert fit.fits is fits
    assert "100 objects, held-out images" in fit.describe()


@pytest.mark.slow
def test_a_changed_network_is_measured_beside_the_former_one():
    start = load_weights("default")
    source = ListSource([drawn_sample(seed) for seed in range(3)])
    same = measure_fit(start, start.network(), [source], [1.0], is_held_out=False, num_images=7)
    assert same is not None
    assert (same.plain_before, same.refined_before) == (same.plain_after, same.refined_after)
    changed = copy.deepcopy(start.network())
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter *= 1.02
    other = measure_fit(start, changed, [source], [1.0], is_held_out=False, num_images=7)
    assert other is None or (other.plain_before, other.refined_before) == (same.plain_before, same.refined_before)
    assert kept_parts(start)["imgsz"] == start.metadata["imgsz"]
    assert kept_parts(start)["refined_with"] == start.metadata["refined_with"]
