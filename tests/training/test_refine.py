import math
from dataclasses import replace

import pytest
import torch

from streamseg.modeling.refiner import REFINER_RASTER, ObjectViews
from streamseg.training.refine import held_out_figures, refine_losses, train_refiner
from streamseg.training.refiner_examples import RefinerExamples, RefineSettings

NUM_MAPS = 4


def discs(count, seed=0):
    """Bright discs on dark ground, whose given logits are those of a shifted one: pixels tell what logits do not.

    The larger the shift, the lower the network's score; noise beside.
    """
    generator = torch.Generator().manual_seed(seed)
    place = torch.linspace(-1, 1, REFINER_RASTER)
    y, x = torch.meshgrid(place, place, indexing="ij")
    radius = 0.3 + 0.3 * torch.rand(count, generator=generator)[:, None, None]
    shift = (torch.rand((count, 2), generator=generator) - 0.5) * 0.8
    truth = (x.square() + y.square()).sqrt() < radius
    moved = ((x - shift[:, 0, None, None]).square() + (y - shift[:, 1, None, None]).square()).sqrt()
    pixels = (truth[..., None] * 0.6 + 0.2).expand(-1, -1, -1, 3)
    seen = ObjectViews(
        ((radius - moved) * 10).half(),
        torch.randn((count, NUM_MAPS, REFINER_RASTER, REFINER_RASTER), generator=generator).half(),
        (pixels * 255).byte(),
        torch.full((count,), 40.0),
    )
    scores = (0.9 - shift.norm(dim=1) + 0.1 * torch.randn(count, generator=generator)).clamp(0.05, 0.95)
    return RefinerExamples(
        seen, truth.byte() * 255, torch.full((count,), 0.8), scores, torch.zeros(count), torch.full((count,), 0.5)
    )


SETTINGS = RefineSettings(epochs=14, batch_size=32, width=8)
SAMPLES = discs(460)


@pytest.fixture(scope="module")
def refiner():
    return train_refiner(SAMPLES, 400, SETTINGS)


def test_it_learns_what_pixels_tell(refiner):
    figures = held_out_figures(refiner, SAMPLES[torch.arange(400, 460)])
    assert figures["iou_plain"] < 0.65
    assert figures["iou_refined"] > 0.85


def test_calibrated_scores_are_right_on_average(refiner):
    """Logistic regression with a constant: the residuals sum to nothing on what it was fitted to."""
    held_out = SAMPLES[torch.arange(400, 460)]
    figures = held_out_figures(refiner, held_out)
    assert figures["mean_calibrated"] == pytest.approx(figures["mean_iou"], abs=2e-3)


def test_what_is_near_no_target_calibrates_as_far_as_the_labels_are_trusted():
    """Half of what is held out is near no target; where labels say nothing, it is left out of the calibration."""
    far = torch.arange(len(SAMPLES)) % 2 == 0
    samples = replace(
        SAMPLES,
        box_iou=torch.where(far, 0.0, 0.8),
        truth=torch.where(far[:, None, None], 0, SAMPLES.truth),
        completeness=torch.zeros(len(SAMPLES)),
    )
    refiner = train_refiner(samples, 400, RefineSettings(epochs=1, batch_size=32, width=4))
    near = held_out_figures(refiner, samples[torch.arange(401, 460, 2)])
    assert near["mean_calibrated"] == pytest.approx(near["mean_iou"], abs=5e-3)
    all_of_them = held_out_figures(refiner, samples[torch.arange(400, 460)])
    assert all_of_them["mean_calibrated"] > all_of_them["mean_iou"] + 0.1


def test_the_same_settings_give_the_same_refiner():
    settings = RefineSettings(epochs=1, batch_size=32, width=4)
    first, second = (train_refiner(SAMPLES, 64, settings) for _ in range(2))
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_only_targets_train_masks():
    settings = RefineSettings(epochs=1, batch_size=32, width=4)
    refiner = train_refiner(SAMPLES, 64, settings)
    batch = SAMPLES[torch.arange(8)]
    near = replace(batch, box_iou=torch.full((8,), 0.3))
    assert refine_losses(refiner, batch)["mask"] > 0
    losses = refine_losses(refiner, near)
    assert losses["mask"] == 0
    assert losses["quality"] > 0


def test_a_part_of_a_target_is_a_poor_mask():
    """What a target covers outside the raster counts against the mask."""
    refiner = train_refiner(SAMPLES, 64, RefineSettings(epochs=1, batch_size=32, width=4))
    batch = SAMPLES[torch.arange(8)]
    whole = held_out_figures(refiner, batch)["mean_iou"]
    part = held_out_figures(refiner, replace(batch, outside=torch.full((8,), 10.0 * REFINER_RASTER**2)))["mean_iou"]
    assert part < 0.1 < whole


@pytest.mark.parametrize(
    ("completeness", "counts"),
    [pytest.param(0.0, False, id="labels that say nothing"), pytest.param(1.0, True, id="labels that are complete")],
)
def test_detections_near_no_target_count_by_completeness(completeness, counts):
    refiner = train_refiner(SAMPLES, 64, RefineSettings(epochs=1, batch_size=32, width=4))
    batch = SAMPLES[torch.arange(8)]
    far = replace(batch, box_iou=torch.zeros(8), truth=batch.truth * 0, completeness=torch.full((8,), completeness))
    assert bool(refine_losses(refiner, far)["quality"] > 0) is counts


def test_every_step_is_reported():
    steps = []
    train_refiner(
        SAMPLES,
        64,
        RefineSettings(epochs=2, batch_size=32, width=4),
        on_step=lambda step, num_steps, losses: steps.append((step, num_steps, losses)),
    )
    assert [(step, num_steps) for step, num_steps, _ in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(math.isfinite(value) for *_, losses in steps for value in losses.values())
