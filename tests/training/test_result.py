"""The weights file of a finished run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from streamseg.modeling.network import Network
from streamseg.modeling.refiner import REFINER_PREFIX
from streamseg.training.refit import RefinerFit
from streamseg.training.result import save_result
from streamseg.weights import load_weights, save_weights
from tests.support.refiners import trained_refiner
from tests.support.training_runs import SETTINGS, trainer_in

pytestmark = pytest.mark.slow


@pytest.fixture
def trainer(tmp_path):
    return trainer_in(tmp_path / "run", replace(SETTINGS, num_steps=1))


def test_the_moving_average_is_written_in_half_precision(tmp_path, trainer):
    path = tmp_path / "w.safetensors"
    save_result(trainer, path, recipe="mine.yaml", imgsz=None, start=None)
    weights = load_weights(path)
    assert weights.metadata == {"recipe": "mine.yaml", "steps": "0", "size": "n"}
    assert isinstance(weights.network(), Network)
    for name, tensor in trainer.average.state_dict().items():
        expected = tensor.half() if tensor.is_floating_point() else tensor
        assert torch.equal(weights.state_dict[name], expected), name


def test_origin_and_size_are_metadata(tmp_path, trainer):
    start = load_weights(save_weights(trainer.network.state_dict(), tmp_path / "start.safetensors"))
    path = tmp_path / "w.safetensors"
    save_result(trainer, path, recipe="mine.yaml", imgsz=96, start=start)
    metadata = load_weights(path).metadata
    assert metadata["imgsz"] == "96"
    assert metadata["started_from_sha256"] == start.sha256


def refined_start(tmp_path, trainer, **metadata):
    """Weights with a refiner, as `refine` writes them."""
    refiner = {REFINER_PREFIX + name: tensor for name, tensor in trained_refiner().state_dict().items()}
    path = save_weights({**trainer.network.state_dict(), **refiner}, tmp_path / "start.safetensors", metadata=metadata)
    return load_weights(path)


@pytest.mark.parametrize(
    ("fit", "is_kept", "fits"),
    [
        pytest.param(None, True, None, id="not measured"),
        pytest.param(RefinerFit(0.5, 0.6, 0.5, 0.58, 9, True), True, "yes", id="fits"),
        pytest.param(RefinerFit(0.5, 0.6, 0.5, 0.51, 9, True), True, "no", id="lost most of its gain"),
        pytest.param(RefinerFit(0.5, 0.6, 0.5, 0.49, 9, True), False, "no", id="makes masks worse"),
    ],
)
def test_fine_tuned_weights_keep_refiner_and_input_size(tmp_path, trainer, fit, is_kept, fits):
    start = refined_start(tmp_path, trainer, imgsz="320", refined_with="first.yaml")
    path = tmp_path / "w.safetensors"
    save_result(trainer, path, recipe="mine.yaml", imgsz=None, start=start, fit=fit, refit="streamseg refine …")
    weights = load_weights(path)
    assert (weights.metadata["imgsz"], weights.metadata["refined_with"]) == ("320", "first.yaml")
    assert weights.metadata.get("refiner_fits", "").partition(":")[0] == (fits or "")
    assert weights.metadata["refit_with"] == "streamseg refine …"
    assert (weights.refiner() is not None) is is_kept
    for name, tensor in start.state_dict.items():
        if name.startswith(REFINER_PREFIX) and is_kept:
            assert torch.equal(weights.state_dict[name], tensor), "not rounded to half precision"


def test_the_recipe_decides_about_the_input_size(tmp_path, trainer):
    path = tmp_path / "w.safetensors"
    start = refined_start(tmp_path, trainer, imgsz="320")
    save_result(trainer, path, recipe="mine.yaml", imgsz=96, start=start)
    assert load_weights(path).metadata["imgsz"] == "96"
