"""The weights file of a finished run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from streamseg.modeling.network import Network
from streamseg.training.result import save_result
from streamseg.weights import load_weights, save_weights
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
