"""Folders that are no detector: one clear line each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamseg.errors import ConfigError, StreamsegError, WeightsError
from streamseg.tiers.words.loading import load_detector


def folder_of(tmp_path: Path, **files: str) -> Path:
    for name, contents in files.items():
        (tmp_path / name.replace("_", ".", 1)).write_text(contents)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({}, "has neither config.json nor an .onnx file", id="empty"),
        pytest.param({"config_json": "{"}, "cannot read", id="broken-json"),
        pytest.param({"config_json": "[]"}, "must contain a JSON object", id="no-object"),
        pytest.param({"config_json": "{}"}, "has no model_type", id="no-type"),
        pytest.param({"config_json": json.dumps({"model_type": "sam2"})}, "detectors are of type", id="other-model"),
        pytest.param(
            {"config_json": json.dumps({"model_type": "grounding-dino"})}, "cannot load the detector", id="no-weights"
        ),
    ],
)
def test_refused(tmp_path: Path, files: dict[str, str], message: str):
    if message == "cannot load the detector":
        pytest.importorskip("transformers", reason="transformers is not installed (extra: tiers)")
    with pytest.raises(WeightsError) as caught:
        load_detector(folder_of(tmp_path, **files), device="cpu")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_extra_is_named_if_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streamseg.tiers.model_folder.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'streamseg\[tiers\]'"):
        load_detector(folder_of(tmp_path, config_json=json.dumps({"model_type": "omdet-turbo"})), device="cpu")


def test_an_unknown_device_is_refused(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(StreamsegError, match="device"):
        load_detector(tmp_path, device="cuda:99")
