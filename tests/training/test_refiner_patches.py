from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from streamseg.modeling.refiner import REFINER_RASTER, ObjectViews, Refiner
from streamseg.training.refiner_examples import RefinerExamples
from streamseg.training.refiner_patches import ExamplePatches, example_patches, patch_corrections

NUM_MAPS = 4
CELLS = REFINER_RASTER


def examples(count):
    """Return examples of noise."""
    generator = torch.Generator().manual_seed(count)
    views = ObjectViews(
        (3 * torch.randn((count, CELLS, CELLS), generator=generator)).half(),
        torch.randn((count, NUM_MAPS, CELLS, CELLS), generator=generator).half(),
        torch.randint(0, 256, (count, CELLS, CELLS, 3), generator=generator, dtype=torch.uint8),
        torch.linspace(10, 300, count),
    )
    truth = torch.zeros((count, CELLS, CELLS), dtype=torch.uint8)
    truth[:, 8:16, 4:12] = 255
    whole = torch.ones(count)
    return RefinerExamples(views, truth, whole, whole, whole, whole, torch.zeros(count, dtype=torch.bool))


def lively_refiner():
    """Return a refiner with random corrections."""
    torch.manual_seed(0)
    refiner = Refiner(NUM_MAPS, width=8)
    torch.nn.init.normal_(refiner.correct.weight)
    torch.nn.init.normal_(refiner.correct.bias)
    return refiner


def refined(refiner, views):
    """Return corrections and quality as the refiner computes them when it is used."""
    output = refiner(ObjectViews(views.logits.float(), refiner.project(views.maps.float()), views.pixels, views.sides))
    return output.corrections, output.quality


def on_raster(patches):
    """Return the values (N, P, 4) of patches on the raster (N, R, R)."""
    return functional.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (CELLS // 2, -1)), 2)[:, 0]


@pytest.mark.parametrize("count", [pytest.param(0, id="none"), pytest.param(1, id="one"), pytest.param(5, id="some")])
@pytest.mark.parametrize("is_mirrored", [pytest.param(False, id="plain"), pytest.param(True, id="mirrored")])
def test_patches_give_what_the_refiner_computes(count, is_mirrored):
    some, refiner = examples(count), lively_refiner()
    views = some.views
    if is_mirrored:
        views = ObjectViews(views.logits.flip(2), views.maps.flip(3), views.pixels.flip(2), views.sides)
    corrections, quality = refined(refiner, views)
    given, judged = patch_corrections(refiner, example_patches(some), is_mirrored=is_mirrored)
    tolerance = {"atol": 0.05, "rtol": 0.02}  # of bfloat16
    assert torch.allclose(on_raster(given), corrections.flip(2) if is_mirrored else corrections, **tolerance)
    assert torch.allclose(judged, quality, **tolerance)


@pytest.mark.parametrize("is_mirrored", [pytest.param(False, id="plain"), pytest.param(True, id="mirrored")])
def test_gradients_are_those_of_the_refiner(is_mirrored):
    some, refiner = examples(4), lively_refiner()
    views = some.views
    if is_mirrored:
        views = ObjectViews(views.logits.flip(2), views.maps.flip(3), views.pixels.flip(2), views.sides)
    gradients = []
    for corrections, quality in (
        refined(refiner, views),
        patch_corrections(refiner, example_patches(some), is_mirrored=is_mirrored),
    ):
        refiner.zero_grad()
        (corrections.square().mean() + quality.sum()).backward()
        gradients.append({name: one.grad.clone() for name, one in refiner.named_parameters()})
    for name, expected in gradients[0].items():
        difference = (gradients[1][name] - expected).norm()
        assert difference <= 0.03 * expected.norm() + 1e-4, name


def test_targets_are_reordered_with_the_cells():
    some = examples(2)
    patches = example_patches(some)
    assert torch.equal(on_raster(patches.truth), some.truth)
    assert torch.equal(on_raster(patches.logits), some.views.logits)
    outline = on_raster(patches.outline.float())[0] > 0
    assert outline[8, 4]
    assert outline[6, 2]  # two cells outside
    assert not outline[5, 6]
    assert not outline[12, 8]  # in the middle


def test_rows_are_selected_from_all_fields():
    some = replace(examples(6), outside=torch.arange(6.0))
    patches = example_patches(some, batch_size=4)
    chosen = patches[torch.tensor([4, 1])]
    assert len(chosen) == 2
    assert chosen.outside.tolist() == [4.0, 1.0]
    for name in ExamplePatches.__dataclass_fields__:
        assert torch.equal(getattr(chosen, name), getattr(patches, name)[[4, 1]]), name
