import math
from dataclasses import replace

import pytest
import torch

from streamseg.modeling.refiner import REFINER_RASTER, ObjectViews
from streamseg.training.refine import held_out_figures, refine_losses, train_refiner
from streamseg.training.refiner_examples import RefinerExamples, RefineSettings
from streamseg.training.refiner_patches import example_patches

pytestmark = pytest.mark.slow

NUM_MAPS = 4


def discs(count, seed=0):
    """Return bright discs on a dark background whose logits show a shifted disc: only the pixels show the right one.

    The larger the shift, the lower the network's score; noise is added.
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
        seen,
        truth.byte() * 255,
        torch.full((count,), 0.8),
        scores,
        torch.zeros(count),
        torch.full((count,), 0.5),
        torch.zeros(count, dtype=torch.bool),
    )


SETTINGS = RefineSettings(epochs=14, batch_size=32, width=8)
EXAMPLES = discs(460)


@pytest.fixture(scope="module")
def refiner():
    return train_refiner(EXAMPLES, 400, SETTINGS)


def test_refiner_learns_from_pixels(refiner):
    figures = held_out_figures(refiner, EXAMPLES[torch.arange(400, 460)])
    assert figures["iou_plain"] < 0.65
    assert figures["iou_refined"] > 0.85


def test_calibrated_scores_match_the_mean_iou(refiner):
    """The residuals of a logistic regression with a constant sum to zero on the data that it was fitted to."""
    held_out = EXAMPLES[torch.arange(400, 460)]
    figures = held_out_figures(refiner, held_out)
    assert figures["mean_calibrated"] == pytest.approx(figures["mean_iou"], abs=2e-3)


def test_calibration_weights_detections_near_no_target_by_completeness():
    """Half of the held-out detections are near no target; without label completeness the calibration ignores them."""
    far = torch.arange(len(EXAMPLES)) % 2 == 0
    examples = replace(
        EXAMPLES,
        box_iou=torch.where(far, 0.0, 0.8),
        truth=torch.where(far[:, None, None], 0, EXAMPLES.truth),
        completeness=torch.zeros(len(EXAMPLES)),
    )
    refiner = train_refiner(examples, 400, RefineSettings(epochs=1, batch_size=32, width=4))
    near = held_out_figures(refiner, examples[torch.arange(401, 460, 2)])
    assert near["mean_calibrated"] == pytest.approx(near["mean_iou"], abs=5e-3)
    all_held_out = held_out_figures(refiner, examples[torch.arange(400, 460)])
    assert all_held_out["mean_calibrated"] > all_held_out["mean_iou"] + 0.1


def test_training_is_deterministic():
    settings = RefineSettings(epochs=1, batch_size=32, width=4)
    first, second = (train_refiner(EXAMPLES, 64, settings) for _ in range(2))
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_only_matched_detections_train_masks():
    settings = RefineSettings(epochs=1, batch_size=32, width=4)
    refiner = train_refiner(EXAMPLES, 64, settings)
    batch = EXAMPLES[torch.arange(8)]
    near = replace(batch, box_iou=torch.full((8,), 0.3))
    assert refine_losses(refiner, example_patches(batch))["mask"] > 0
    losses = refine_losses(refiner, example_patches(near))
    assert losses["mask"] == 0
    assert losses["quality"] > 0


def test_part_of_a_target_has_a_low_iou():
    """The area of a target outside the raster reduces the IoU of the mask."""
    refiner = train_refiner(EXAMPLES, 64, RefineSettings(epochs=1, batch_size=32, width=4))
    batch = EXAMPLES[torch.arange(8)]
    whole = held_out_figures(refiner, batch)["mean_iou"]
    part = held_out_figures(refiner, replace(batch, outside=torch.full((8,), 10.0 * REFINER_RASTER**2)))["mean_iou"]
    assert part < 0.1 < whole


@pytest.mark.parametrize(
    ("completeness", "counts"),
    [pytest.param(0.0, False, id="unlabelled"), pytest.param(1.0, True, id="complete labels")],
)
def test_detections_near_no_target_count_by_completeness(completeness, counts):
    refiner = train_refiner(EXAMPLES, 64, RefineSettings(epochs=1, batch_size=32, width=4))
    batch = EXAMPLES[torch.arange(8)]
    far = replace(batch, box_iou=torch.zeros(8), truth=batch.truth * 0, completeness=torch.full((8,), completeness))
    assert bool(refine_losses(refiner, example_patches(far))["quality"] > 0) is counts


def test_every_step_is_reported():
    steps = []
    train_refiner(
        EXAMPLES,
        64,
        RefineSettings(epochs=2, batch_size=32, width=4),
        on_step=lambda step, num_steps, losses: steps.append((step, num_steps, losses)),
    )
    assert [(step, num_steps) for step, num_steps, _ in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(math.isfinite(value) for *_, losses in steps for value in losses.values())


def test_training_continues_from_a_refiner(refiner):
    """A few steps at a small rate leave a trained refiner better than that many steps from random weights."""
    settings = replace(SETTINGS, epochs=1, learning_rate=1e-4)
    before = {name: tensor.clone() for name, tensor in refiner.state_dict().items()}
    held_out = EXAMPLES[torch.arange(400, 460)]
    continued = train_refiner(EXAMPLES, 400, settings, start=refiner)
    assert held_out_figures(continued, held_out)["iou_refined"] > 0.85
    assert held_out_figures(train_refiner(EXAMPLES, 400, settings), held_out)["iou_refined"] < 0.8
    for name, tensor in refiner.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("known_share", "learns"),
    [pytest.param(0.0, "detections", id="none"), pytest.param(1.0, "known", id="nothing else")],
)
def test_share_of_known_objects_in_a_batch(known_share, learns):
    """Only examples that are drawn matter: the others may be anything."""
    is_known = torch.arange(len(EXAMPLES)) % 2 == 0
    ignored = is_known if learns == "detections" else ~is_known
    settings = RefineSettings(epochs=1, batch_size=32, width=4, known_share=known_share)
    changed = replace(EXAMPLES, is_known=is_known, truth=torch.where(ignored[:, None, None], 0, EXAMPLES.truth))
    trained = [train_refiner(replace(one, is_known=is_known), 400, settings) for one in (EXAMPLES, changed)]
    for name, tensor in trained[0].state_dict().items():
        assert name == "calibration" or torch.equal(tensor, trained[1].state_dict()[name])


def test_every_parameter_is_trained():
    """Each group of the optimizer shares the memory of the refiner's parameters."""
    settings = RefineSettings(epochs=2, batch_size=32, width=4)
    untrained = train_refiner(EXAMPLES, 64, replace(settings, learning_rate=0.0))
    trained = train_refiner(EXAMPLES, 64, settings)
    for name, tensor in trained.named_parameters():
        assert not torch.equal(tensor, untrained.get_parameter(name)), name
