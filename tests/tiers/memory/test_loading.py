"""Folders of video models: loaded, or refused in one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from streamseg.config import FollowConfig
from streamseg.errors import ConfigError, WeightsError
from streamseg.tiers.memory import open_memory_tier
from streamseg.tiers.memory.loading import load_video_model
from tests.support.video_models import film, transformers_video_model


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sam2_video", "edgetam_video"])
def test_a_saved_model_is_loaded_as_it_was(tmp_path: Path, kind: str):
    saved = transformers_video_model(kind)
    saved.save_pretrained(tmp_path)
    model = load_video_model(tmp_path, device=torch.device("cpu"))
    images, masks = film(3)
    for given, expected in zip(model.model.parameters(), saved.parameters(), strict=True):
        torch.testing.assert_close(given, expected, rtol=0, atol=0)
    memory = model.open_object()
    memory.learn(model.encode(images[0]), masks[0])
    assert memory.find(model.encode(images[1])).mask.area > 0
    report = open_memory_tier(FollowConfig(model=str(tmp_path), device="cpu"), tmp_path).report()
    assert (report.tier, report.state, report.model) == ("memory", "working", str(tmp_path))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(None, "has no config.json", id="empty"),
        pytest.param("{", "cannot read", id="broken-json"),
        pytest.param(json.dumps({"model_type": "sam"}), "video models are of type", id="no-video-model"),
        pytest.param(json.dumps({"model_type": "sam2_video"}), "cannot load the video model", id="no-weights"),
    ],
)
def test_refused(tmp_path: Path, config: str | None, message: str):
    if message == "cannot load the video model":
        pytest.importorskip("transformers", reason="transformers is not installed (extra: tiers)")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(WeightsError) as caught:
        load_video_model(tmp_path, device=torch.device("cpu"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_extra_is_named_if_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streamseg.tiers.model_folder.find_spec", lambda name: None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "edgetam_video"}))
    with pytest.raises(ConfigError, match=r"pip install 'streamseg\[tiers\]'"):
        load_video_model(tmp_path, device=torch.device("cpu"))


def test_a_pickled_checkpoint_is_not_read(tmp_path: Path):
    pytest.importorskip("transformers", reason="transformers is not installed (extra: tiers)")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam2_video"}))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot load the video model"):
        load_video_model(tmp_path, device=torch.device("cpu"))
