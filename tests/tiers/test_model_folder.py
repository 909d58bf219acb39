"""Why a folder of transformers cannot be loaded, in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamseg.errors import ConfigError, WeightsError
from streamseg.tiers.model_folder import load_error

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
