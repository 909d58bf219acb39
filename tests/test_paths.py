from pathlib import Path

import pytest

from streamseg.paths import cache_folder, weights_folder


def test_cache_folder_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "cache"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("configured", ["", None])
@pytest.mark.parametrize(
    ("xdg_cache_home", "expected"),
    [
        pytest.param(None, "/home/someone/.cache/streamseg", id="home"),
        pytest.param("/xdg", "/xdg/streamseg", id="XDG_CACHE_HOME"),
    ],
)
def test_default_cache_folder_on_linux(configured, xdg_cache_home, expected, monkeypatch):
    for name, value in (("STREAMSEG_CACHE", configured), ("XDG_CACHE_HOME", xdg_cache_home)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path(expected)


def test_weights_folder_is_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    assert weights_folder() == cache_folder() / "weights" == tmp_path / "cache" / "weights"
    assert list(tmp_path.iterdir()) == []
