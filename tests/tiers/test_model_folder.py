"""Why a folder of transformers cannot be loaded, in one line that says what to do."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from streamseg.errors import ConfigError, WeightsError
from streamseg.tiers.model_folder import load_error, load_model
from tests.support.sam_models import small_model

FOLDER = Path("edgetam")
NEEDS = "TimmWrapperModel requires the timm library but it was not found in your environment.\n`pip install timm`"
OPERATOR = "operator torchvision::nms does not exist"


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("installed", "error", "kind", "message"),
    [
        pytest.param(
            (), ImportError(NEEDS), ConfigError, "but timm and torchvision are not installed; install timm", id="both"
        ),
        pytest.param(
            ("timm",),
            ImportError("No module named 'torchvision'"),
            ConfigError,
            "but torchvision is not installed; install timm, and the torchvision that belongs to torch ",
            id="torchvision",
        ),
        pytest.param(
            ("timm", "torchvision"),
            RuntimeError(OPERATOR),
            ConfigError,
            f"but they cannot be imported: {OPERATOR}; install timm",
            id="another-torch",
        ),
        pytest.param(
            (),
            OSError("no file model.safetensors\nfound"),
            WeightsError,
            "cannot load the model in",
            id="damaged",
        ),
        pytest.param(
            ("timm", "torchvision"),
            caused(ModuleNotFoundError("Could not import module 'EdgeTamModel'"), RuntimeError(OPERATOR)),
            ConfigError,
            f"but they cannot be imported: {OPERATOR}; install timm",
            id="hidden",
        ),
        pytest.param((), KeyError("timm"), WeightsError, "cannot load the model in", id="a-key"),
    ],
)
def test_errors(
    installed: tuple[str, ...],
    error: Exception,
    kind: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("streamseg.tiers.model_folder.find_spec", lambda name: name if name in installed else None)
    found = load_error("the model", FOLDER, error)
    assert type(found) is kind
    assert message in str(found)
    assert "\n" not in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_lost", "message"),
    [
        pytest.param(0, None, id="whole"),
        pytest.param(1, "the model in .* lacks 1 tensors, such as ", id="one-missing"),
        pytest.param(1000, r"lacks \d+ of \d+ tensors, such as .*; its config.json belongs to another", id="empty"),
    ],
)
def test_a_folder_without_the_models_tensors_is_not_random_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, num_lost: int, message: str | None
):
    model = small_model("sam")
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    lost = sorted(tensors)[:num_lost]
    kept = {name: tensor for name, tensor in tensors.items() if name not in lost} or {"other": torch.zeros(1)}
    save_file(kept, path, metadata={"format": "pt"})
    caplog.set_level(logging.WARNING, "streamseg")
    if num_lost > len(tensors):
        with pytest.raises(WeightsError, match=message):
            load_model("SamModel", tmp_path, "the model")
        return
    loaded = load_model("SamModel", tmp_path, "the model")
    for name, tensor in kept.items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert bool(caplog.messages) == (message is not None)
    if message is not None:
        assert re.search(message, caplog.text)
