"""Configurations that are part of the package: by name, and errors that list them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamseg.config import load_config
from streamseg.config.included import find_included, included_configs, read_config_text
from streamseg.errors import ConfigError
from streamseg.training.recipe import load_recipe
from tests.support.paths import REPOSITORY


def test_included_configs_are_those_of_the_repository():
    assert {path.name for path in (REPOSITORY / "configs").glob("*.yaml")} == {
        path.name for path in included_configs().values()
    }
    assert {"demo", "robot", "rtsp", "train-default", "train-refine", "webcam", "zones"} <= set(included_configs())


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "configs/demo.yaml", "configs/demo", Path("configs/demo.yaml")])
def test_names_of_an_included_configuration(name: str | Path):
    assert find_included(name) == included_configs()["demo"]


@pytest.mark.parametrize("name", ["", "other", "demo.yml", "mine/demo.yaml", "/configs/demo.yaml", "../configs/demo"])
def test_other_names(name: str):
    assert find_included(name) is None


def test_text_of_an_included_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert read_config_text("demo", "configuration") == included_configs()["demo"].read_text(encoding="utf-8")


def test_own_file_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.yaml").write_text("mode: fastsam")
    (tmp_path / "rtsp").mkdir()
    assert read_config_text("demo.yaml", "configuration") == "mode: fastsam"
    assert read_config_text("demo", "configuration") != "mode: fastsam"
    assert read_config_text("rtsp", "configuration") == included_configs()["rtsp"].read_text(encoding="utf-8")


def test_missing_file_lists_the_included_ones(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*my\.yaml: it does not exist; included are demo, "):
        read_config_text(tmp_path / "my.yaml", "recipe")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a\xff\x00", r"my\.yaml: it is not text in UTF-8 \(byte 0xff at position 1\); save it"),
        (None, r"my\.yaml: Is a directory"),
    ],
)
def test_unreadable_file_is_an_error(tmp_path: Path, content: bytes | None, fault: str):
    path = tmp_path / "my.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"cannot read the configuration .*{fault}"):
        read_config_text(path, "configuration")


def test_included_configuration_is_loaded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/robot.yaml") == load_config(included_configs()["robot"])


def test_included_recipe_is_loaded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe(Path("train-refine")) == load_recipe(included_configs()["train-refine"])
