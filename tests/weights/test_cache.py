from streamseg.paths import cache_folder
from streamseg.weights.cache import weights_folder


def test_weights_are_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    assert weights_folder() == cache_folder() / "weights" == tmp_path / "cache" / "weights"
    assert list(tmp_path.iterdir()) == []
