import logging
from pathlib import Path

import pytest

from streamseg.errors import WeightsError
from streamseg.weights import load_weights, save_weights
from streamseg.weights.catalogue import LicenceStatement, OfficialWeights, find_official
from streamseg.weights.resolve import cached_weights_path, fetch_official, resolve_weights
from tests.support.http_server import CONTENTS, FileServer, honest, status
from tests.support.networks import lively_network


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(cache):
    with FileServer({"/file": honest()}) as server:
        yield server


def entry_of(*files):
    licences = (LicenceStatement("MIT", "one file"), LicenceStatement("GPL-3.0-only", "another"))
    return OfficialWeights("Tiny-n", "Tiny-n.pt", ("Tiny-n.pt", "Tiny.pt"), files, licences)


def test_name_is_downloaded_on_first_use(server, cache, caplog):
    catalogue = [entry_of(server.file("/file"))]
    steps = []
    with caplog.at_level(logging.INFO):
        path = resolve_weights("Tiny-n", catalogue=catalogue, progress=lambda *step: steps.append(step))
    assert path == cache / "weights" / "Tiny-n.pt" == cached_weights_path(catalogue[0])
    assert path.read_bytes() == CONTENTS
    assert steps[-1] == (len(CONTENTS), len(CONTENTS))
    licence, start = caplog.records
    assert licence.levelno == logging.WARNING
    assert licence.getMessage() == (
        "the licence of Tiny-n is contested: MIT (one file); GPL-3.0-only (another); streamseg does not distribute it"
    )
    assert start.getMessage() == f"downloading Tiny-n (0.7 MB) to {path}"

    caplog.clear()
    for name in ("Tiny-n", "tiny-N", "Tiny.pt", Path("Tiny-n.pt")):
        assert resolve_weights(name, catalogue=catalogue) == path
    assert len(server.requests) == 1
    assert caplog.messages == []


def test_download_prints_nothing(server, capfd):
    resolve_weights("Tiny-n", catalogue=[entry_of(server.file("/file"))])
    assert capfd.readouterr().out == ""


def test_damaged_file_is_replaced(server, caplog):
    entry = entry_of(server.file("/file"))
    path = cached_weights_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENTS[:-1] + b"?")
    assert resolve_weights("Tiny-n", catalogue=[entry]).read_bytes() == CONTENTS
    assert caplog.messages[0] == f"{path} is damaged or is not Tiny-n; downloading it again"


def test_damaged_file_is_not_used_if_the_download_fails(server):
    server.responses["/file"] = status(503)
    entry = entry_of(server.file("/file"))
    cached_weights_path(entry).parent.mkdir(parents=True)
    cached_weights_path(entry).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="503 Service Unavailable"):
        resolve_weights("Tiny-n", catalogue=[entry])


def test_other_target(server, tmp_path, cache):
    target = tmp_path / "here" / "Tiny.pt"
    assert fetch_official(entry_of(server.file("/file")), target) == target
    assert target.read_bytes() == CONTENTS
    assert not cache.exists()


def test_existing_file_takes_precedence_over_a_name(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Tiny.pt").write_bytes(b"of the user's own")
    assert resolve_weights("Tiny.pt", catalogue=[entry_of(server.file("/file"))]) == Path("Tiny.pt")
    assert server.requests == []


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("./weights/FastSAM.pt", "streamseg weights get FastSAM.pt --out weights"),
        ("weights/FastSAM-x.pt", "streamseg weights get FastSAM-x.pt --out weights"),
        ("./FastSAM.pt", "streamseg weights get FastSAM.pt --out ."),
        ("/nowhere/FastSAM.pt", "streamseg weights get FastSAM.pt --out /nowhere"),
    ],
)
def test_missing_path_with_an_official_name(path, command):
    with pytest.raises(
        WeightsError, match="run `streamseg weights get FastSAM-x` and use --weights FastSAM-x"
    ) as caught:
        load_weights(path)
    assert str(caught.value).startswith(f"no weights at {Path(path)}; ")
    assert str(caught.value).endswith(f"run `{command}` to save them there")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FastSAM-z", "; did you mean FastSAM-x or FastSAM-s?"),
        ("Default", "; did you mean default?"),
        ("yolo.safetensors", " file"),
        ("folder/defaul", "; did you mean default?"),
    ],
)
def test_unknown_name_suggests_similar_ones(name, hint):
    with pytest.raises(WeightsError) as caught:
        resolve_weights(name)
    names = "'default', 'nanodet', 'yolov8n', 'FastSAM-s', 'FastSAM-x'"
    allowed = f"{names} and the path of a .safetensors, .pt or .onnx file"
    assert str(caught.value).startswith(f"no weights at {name}; allowed are {allowed}")
    assert str(caught.value).endswith(hint)


@pytest.mark.slow
def test_weights_are_loaded_by_name(tmp_path, cache):
    contents = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors", half=True).read_bytes()
    with FileServer({"/file": honest(contents)}) as server:
        file = server.file("/file", contents=contents)
        entry = OfficialWeights("Tiny-n", "Tiny-n.safetensors", (), (file,), find_official("FastSAM-s").licences)
        weights = load_weights("Tiny-n", catalogue=[entry])
    assert weights.sha256 == file.sha256
    assert weights.path == cached_weights_path(entry)
    assert weights.network().config == lively_network().config
