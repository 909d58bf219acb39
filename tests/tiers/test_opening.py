"""Opening of tiers by name and folder; bad input is one line, and nothing is imported without a tier."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamseg.config import Config, FollowConfig, QualityConfig, load_config
from streamseg.errors import ConfigError, WeightsError
from streamseg.tiers import Tiers
from streamseg.tiers.catalogue import TIER_MODELS, find_model_path, model_path
from streamseg.tiers.opening import open_tiers


def test_without_a_tier_nothing_is_opened():
    assert open_tiers(Config()) == Tiers()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        pytest.param(
            Config(quality=QualityConfig(model="sam-vit-c")),
            ConfigError,
            r"quality\.model must be a folder or one of sam-vit-b, .* got 'sam-vit-c', .*; did you mean sam-vit-",
            id="unknown",
        ),
        pytest.param(
            Config(quality=QualityConfig(model="sam-vit-b")),
            WeightsError,
            r"the weights of sam-vit-b are not in .*/tiers/sam-vit-b; to get them: hf download facebook/sam-vit-base",
            id="not-there",
        ),
        pytest.param(
            Config(quality=QualityConfig(model="mobile-sam")),
            WeightsError,
            r"to get them: from mobile_sam\.pt .*: pip install samexporter",
            id="no-folder",
        ),
        pytest.param(
            Config(quality=QualityConfig(model="omdet-turbo")), ConfigError, r"quality\.model must be", id="other-tier"
        ),
        pytest.param(
            Config(follow=FollowConfig(model="sam-vit-b")),
            ConfigError,
            r"follow\.model must be",
            id="follow-other-tier",
        ),
        pytest.param(Config(quality=QualityConfig(model="/dev/null")), WeightsError, "is not a folder", id="a-file"),
    ],
)
def test_bad_models(config: Config, error: type[Exception], message: str, cache: Path):
    with pytest.raises(error, match=message) as raised:
        open_tiers(config)
    assert "\n" not in str(raised.value)


def test_a_path_takes_precedence_over_a_name(cache: Path):
    (cache / "sam-vit-b").mkdir()
    assert find_model_path("sam-vit-b", "quality", "quality.model") == Path("sam-vit-b")


def test_a_name_is_the_folder_in_the_cache(cache: Path):
    folder = model_path("edgetam")
    folder.mkdir(parents=True)
    with pytest.raises(WeightsError, match="are not in"):
        find_model_path("edgetam", "memory", "follow.model")
    (folder / "config.json").write_text("{}")
    assert find_model_path("edgetam", "memory", "follow.model") == folder == cache / "tiers" / "edgetam"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        pytest.param("quality.objects=some", "quality.objects", id="objects"),
        pytest.param("quality.every=0", "quality.every", id="every"),
        pytest.param("quality.budget_ms=0", "quality.budget_ms", id="budget"),
        pytest.param("quality.view=crop", "quality.view", id="view"),
        pytest.param("quality.device=gpu", "quality.device", id="device"),
        pytest.param("follow.objects=0", "follow.objects", id="follow"),
        pytest.param("quality.modell=x", "quality.modell", id="key"),
    ],
)
def test_bad_settings(setting: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_config(sets=[setting])


def test_fastsam_has_its_own_masks():
    with pytest.raises(ConfigError, match=r"quality\.model requires mode: streamseg"):
        load_config(sets=["quality.model=sam-vit-b", "mode=fastsam"])


def test_names_are_unique_and_say_how_to_get_the_files():
    assert len({model.name for model in TIER_MODELS}) == len(TIER_MODELS)
    for model in TIER_MODELS:
        assert model.licence
        assert model.how_to_get
        assert (model.repository is None) == bool(model.commands)
        assert model.repository is not None or str(model_path(model.name)) in model.how_to_get


@pytest.mark.slow
def test_nothing_of_transformers_is_imported_without_a_tier():
    code = (
        "import sys\n"
        "import streamseg.cli.main, streamseg.pipeline, streamseg.tiers.opening, streamseg.tiers.quality.tier\n"
        "import streamseg.tiers.quality.transformers_model, streamseg.tiers.quality.loading\n"
        "from streamseg.config import Config\n"
        "streamseg.tiers.opening.open_tiers(Config())\n"
        "sys.exit(any(name.partition('.')[0] in ('transformers', 'torchvision') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
