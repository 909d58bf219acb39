import argparse
import io
import json
import sys

import pytest

from streamseg.cli import doctor, weights
from streamseg.cli.main import main
from streamseg.cli.named_weights import fetch_named
from streamseg.errors import WeightsError
from streamseg.weights import load_weights, save_weights
from streamseg.weights.catalogue import LicenceStatement, OfficialWeights
from streamseg.weights.download import part_path
from streamseg.weights.embedded import EMBEDDED, embedded_path
from tests.support.checkpoints import official_checkpoint, tiny_network
from tests.support.http_server import CONTENTS, HALF, FileServer, breaks_off, closed_port, honest, status
from tests.support.networks import lively_graph


class Keyboard(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server():
    with FileServer({"/file": honest()}) as server:
        yield server


@pytest.fixture
def catalogue(server):
    """One network in two editions; no server has the second."""
    licences = (LicenceStatement("MIT", "one file"), LicenceStatement("GPL-3.0-only", "another"))
    files = (server.file("/file"), server.file("/other", contents=CONTENTS[:HALF]))
    return [OfficialWeights("Tiny-n", "Tiny-n.pt", ("Tiny-n.pt", "Tiny.pt"), files, licences)]


@pytest.fixture
def run(catalogue):
    def run(*words):
        parser = argparse.ArgumentParser()
        weights.add_parser(parser.add_subparsers(), catalogue)
        args = parser.parse_args(["weights", *map(str, words)])
        return args.command(args)

    return run


# ---- list


@pytest.mark.parametrize("words", [[], ["list"]])
def test_list_shows_all_weights(run, cache, capsys, words):
    assert run(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "STATE", "WHERE"]
    for line, name in zip(lines[1:], EMBEDDED, strict=False):
        size = f"{embedded_path(name).stat().st_size / 1e6:.1f}"
        assert line.split() == [name, size, "MB", "embedded", str(embedded_path(name))]
    where = str(cache / "weights" / "Tiny-n.pt")
    assert lines[1 + len(EMBEDDED)].split() == ["Tiny-n", "0.7", "MB", "not", "downloaded", where]
    assert "licence of Tiny-n: contested: MIT (one file); GPL-3.0-only (another)" in lines
    assert any(line.startswith("streamseg does not include official weights") for line in lines)


def test_list_shows_the_state_of_the_cache(run, catalogue, cache, capsys):
    target = cache / "weights" / "Tiny-n.pt"
    target.parent.mkdir(parents=True)
    for path, contents, state in (
        (part_path(catalogue[0].files[0], target), CONTENTS[:HALF], "0.3 MB downloaded"),
        (target, b"something else", "damaged"),
        (target, CONTENTS, "cached"),
        (target, CONTENTS[:HALF], "cached"),
    ):
        path.write_bytes(contents)
        run("list")
        assert f"Tiny-n   0.7 MB  {state}" in capsys.readouterr().out


# ---- get


def test_get_downloads_once_and_shows_the_licence(run, server, cache, capsys):
    target = cache / "weights" / "Tiny-n.pt"
    assert run("get", "tiny-n") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "licence of Tiny-n: contested: MIT (one file); GPL-3.0-only (another)",
        f"Tiny-n is at {target}; use it with --weights Tiny-n",
    ]
    assert "1/1 MB" in err
    assert target.read_bytes() == CONTENTS
    assert run("get", "Tiny-n") == 0
    assert capsys.readouterr().out == f"Tiny-n is already at {target}; use it with --weights Tiny-n\n"
    assert len(server.requests) == 1


@pytest.mark.parametrize(("name", "file_name"), [("Tiny-n", "Tiny-n.pt"), ("tiny.PT", "Tiny.pt")])
def test_get_into_a_folder_keeps_the_requested_name(run, tmp_path, capsys, name, file_name):
    assert run("get", name, "--out", tmp_path / "here") == 0
    target = tmp_path / "here" / file_name
    assert target.read_bytes() == CONTENTS
    assert capsys.readouterr().out.endswith(f"use it with --weights {target}\n")


def test_get_replaces_an_existing_file_only_with_yes(run, server, tmp_path):
    target = tmp_path / "Tiny-n.pt"
    target.write_bytes(b"the user's own file")
    with pytest.raises(WeightsError, match="exists and is not Tiny-n; move it away, or replace it with --yes"):
        run("get", "Tiny-n", "--out", tmp_path)
    assert (target.read_bytes(), server.requests) == (b"the user's own file", [])
    assert run("get", "Tiny-n", "--out", tmp_path, "--yes") == 0
    assert target.read_bytes() == CONTENTS


@pytest.mark.parametrize("other", [False, True], ids=["first edition", "second edition"])
def test_get_from_a_mirror(run, server, cache, other):
    contents = CONTENTS[:HALF] if other else CONTENTS
    server.responses = {"/mirror": honest(contents)}
    assert run("get", "Tiny-n", "--url", server.url("/mirror")) == 0
    assert (cache / "weights" / "Tiny-n.pt").read_bytes() == contents
    assert {path for path, _ in server.requests} == {"/mirror"}


def test_get_resumes_an_interrupted_download(run, server, cache):
    server.responses["/file"] = breaks_off(1000)
    with pytest.raises(WeightsError, match="broke off at 5000 of 700000 bytes"):
        run("get", "Tiny-n")
    server.responses["/file"] = honest()
    assert run("get", "Tiny-n") == 0
    assert server.requests[-1] == ("/file", "bytes=5000-")


@pytest.mark.parametrize(
    ("typed", "words", "code"),
    [
        pytest.param("y\n", [], 0, id="yes"),
        pytest.param("YES\n", [], 0, id="yes in capitals"),
        pytest.param("\n", [], 1, id="nothing"),
        pytest.param("n\n", [], 1, id="no"),
        pytest.param("", [], 1, id="end of input"),
        pytest.param("", ["--yes"], 0, id="without confirmation"),
    ],
)
def test_get_asks_for_confirmation_on_a_terminal(run, server, monkeypatch, capsys, typed, words, code):
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    assert run("get", "Tiny-n", *words) == code
    out = capsys.readouterr().out
    assert ("download Tiny-n (0.7 MB)? [y/N] " in out) == (not words)
    assert ("nothing was downloaded" in out) == (code == 1)
    assert len(server.requests) == (code == 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["get", "Tiny-m"], r"named 'Tiny-m'; available: Tiny-n; did you mean Tiny-n\?", id="near"),
        pytest.param(["get", "yolo"], r"named 'yolo'; available: Tiny-n$", id="far"),
        pytest.param(["get", "default"], "the default weights are included in streamseg", id="default"),
        pytest.param(["get", "yolov8n"], "the yolov8n weights are included in streamseg", id="embedded"),
        pytest.param(
            ["get", "Tiny-n", "--url", "tiny.pt"], "'tiny.pt' is not an http or https URL", id="invalid address"
        ),
        pytest.param(["convert", "Tiny-m", "a.safetensors"], "no weights at Tiny-m; allowed are", id="convert nothing"),
        pytest.param(["convert", "default", "a.pt"], r"must be a \.safetensors file, got a\.pt", id="convert to .pt"),
        pytest.param(["info", "Tiny-n"], "run `streamseg weights get Tiny-n`", id="not downloaded"),
        pytest.param(["info", "nothing.onnx"], r"no weights at nothing\.onnx; allowed are", id="no graph"),
        pytest.param(["info", "nothing.pt"], r"no weights at nothing\.pt; allowed are", id="no checkpoint"),
    ],
)
def test_mistakes(run, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=message) as caught:
        run(*words)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


# ---- convert and info


@pytest.mark.slow
def test_convert_and_info(run, tmp_path, capsys):
    source = official_checkpoint(tiny_network(), tmp_path / "t.pt")
    out = tmp_path / "t.safetensors"
    assert run("convert", source, out) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{source} (1.")
    assert text.endswith("417 tensors, values unchanged\n")
    assert run("info", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["path:", str(out)]
    assert "size:            custom" in lines
    assert "channels:        8-8-16-32-64" in lines
    assert "official:        no known official file" in lines
    assert f"  source_sha256: {load_weights(source).sha256}" in lines
    assert run("info", source, "--json") == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["reg_max"], fields["precision"], fields["official"]) == (16, "float16", "")
    assert fields["metadata"]["imgsz"] == "1024"


def test_convert_to_half_precision(run, tmp_path, capsys):
    source = save_weights(tiny_network().state_dict(), tmp_path / "t.safetensors")
    out = tmp_path / "half.safetensors"
    assert run("convert", source, out, "--half") == 0
    assert capsys.readouterr().out.endswith("417 tensors, in half precision\n")
    assert out.stat().st_size < 0.6 * source.stat().st_size


@pytest.mark.slow
def test_name_is_downloaded_and_converted(tmp_path, cache, capsys):
    contents = official_checkpoint(tiny_network(), tmp_path / "t.pt").read_bytes()
    with FileServer({"/file": honest(contents)}) as server:
        file = server.file("/file", contents=contents)
        entry = OfficialWeights("Tiny-t", "Tiny-t.pt", (), (file,), (LicenceStatement("MIT", "us"),))
        parser = argparse.ArgumentParser()
        weights.add_parser(parser.add_subparsers(), [entry])
        for words in (["convert", "Tiny-t", str(tmp_path / "t.safetensors")], ["info", "Tiny-t", "--json"]):
            args = parser.parse_args(["weights", *words])
            assert args.command(args) == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["official"] == "Tiny-t, as published by publisher"
    assert load_weights(tmp_path / "t.safetensors").metadata["source_sha256"] == file.sha256


@pytest.mark.slow
def test_info_of_a_graph(run, tmp_path, capsys):
    (tmp_path / "n.onnx").write_bytes(lively_graph())
    assert run("info", tmp_path / "n.onnx") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "format:          ONNX graph" in lines
    assert "  images: tensor(uint8) ['batch', 'height', 'width', 3]" in lines


# ---- names of weights in other subcommands


def test_name_is_downloaded_before_a_run(server, catalogue, cache, capsys):
    fetch_named("Tiny-n", catalogue)
    assert (cache / "weights" / "Tiny-n.pt").read_bytes() == CONTENTS
    assert "1/1 MB" in capsys.readouterr().err
    for source in ("Tiny-n", "default", "Tiny-m", "weights/Tiny-n.pt"):
        fetch_named(source, catalogue)
    assert len(server.requests) == 1


def test_existing_file_of_that_name_is_not_downloaded(server, catalogue, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Tiny.pt").touch()
    fetch_named("Tiny.pt", catalogue)
    assert server.requests == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["segment", "image.png", "--weights", "FastSAM-s"], id="segment"),
        pytest.param(["run", "--set", "segmentation.weights=FastSAM-s"], id="run"),
        pytest.param(["demo", "--set", "segmentation.weights=FastSAM-s"], id="demo"),
        pytest.param(["export", "--weights", "fastsam-S.pt", "--out", "x.onnx"], id="export"),
        pytest.param(["weights", "convert", "FastSAM-s", "x.safetensors"], id="convert"),
        pytest.param(["weights", "get", "FastSAM-s", "--yes"], id="get"),
    ],
)
def test_every_subcommand_downloads_named_weights(words, monkeypatch, tmp_path, capsys):
    import cv2
    import numpy as np

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "")
    cv2.imwrite("image.png", np.zeros((32, 32, 3), np.uint8))
    assert main(words) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("streamseg: cannot download FastSAM-s.pt: github.com: Connection refused; huggingface.co: ")
    assert "yourself (sha256 c9f78716" in line


@pytest.mark.slow
def test_configuration_accepts_named_weights(capsys):
    assert main(["check-config", "--set", "segmentation.weights=FastSAM-x"]) == 0
    assert "weights: FastSAM-x" in capsys.readouterr().out


def test_doctor_checks_the_cache(cache):
    finding = next(finding for finding in doctor.examine() if finding.name == "official weights")
    assert (finding.state, "streamseg weights get" in finding.remark) == ("absent", True)
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "FastSAM-s.pt").write_bytes(b"damaged")
    assert next(f for f in doctor.examine() if f.name == "official weights").state == "absent"


def test_error_of_the_server_is_reported(run, server):
    server.responses["/file"] = status(503)
    with pytest.raises(WeightsError, match="503 Service Unavailable"):
        run("get", "Tiny-n")
