from pathlib import Path

from streamseg.paths import cache_folder


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert list(tmp_path.iterdir()) == []


def test_without_a_word_from_the_environment_it_is_in_the_home_folder(monkeypatch):
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("STREAMSEG_CACHE")
        else:
            monkeypatch.setenv("STREAMSEG_CACHE", unset)
        monkeypatch.setenv("HOME", "/somebody")
        assert cache_folder() == Path("/somebody/.cache/streamseg")
