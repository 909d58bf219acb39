import argparse
import re

import cv2
import pytest

from streamseg.cli import export
from streamseg.engines import build_engine
from streamseg.errors import ConfigError, StreamsegError, WeightsError
from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network

pytestmark = pytest.mark.slow


def parse(*words):
    parser = argparse.ArgumentParser()
    export.add_parser(parser.add_subparsers())
    return parser.parse_args(["export", *map(str, words)])


def run(*words):
    args = parse(*words)
    return args.command(args)


@pytest.fixture
def weights(tmp_path):
    return save_weights(build_yolov8("n", seed=0).state_dict(), tmp_path / "n.safetensors", metadata={"recipe": "none"})


def test_exported_graph_runs(weights, tmp_path, capsys):
    out = tmp_path / "new" / "n.onnx"
    assert run("--weights", weights, "--out", out, "--imgsz", 64) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"exporting {weights} (3.3 M parameters)")
    assert lines[1].startswith("comparing with torch on 2 images of 64x64")
    assert lines[2].startswith("largest differences: boxes ")
    assert lines[3] == f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)"
    engine = build_engine(out, device="cpu")
    assert engine.metadata["recipe"] == "none"
    assert not engine.half


def test_network_with_embeddings(tmp_path, capsys):
    out = tmp_path / "nanodet.onnx"
    assert run("--weights", "nanodet", "--out", out, "--imgsz", 64, "--nms", "--conf", 0.01) == 0
    assert ", embeddings " in capsys.readouterr().out.splitlines()[2]
    assert build_engine(out, device="cpu").suppression == NmsSettings(conf=0.01)


def test_built_in_suppression(tmp_path, capsys):
    weights = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    words = ["--weights", weights, "--out", tmp_path / "n.onnx", "--imgsz", 64, "--nms", "--conf", 0.01]
    assert run(*words, "--max-det", 20) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"built-in suppression selects [1-9]\d* objects, largest differences: boxes ", lines[3])
    engine = build_engine(tmp_path / "n.onnx", device="cpu")
    assert engine.suppression == NmsSettings(conf=0.01, iou=0.7, max_det=20)


def test_8_bit_quantization(tmp_path, capsys):
    weights = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), blobs((64, 96), index))
    out = tmp_path / "n.onnx"
    assert run("--weights", weights, "--out", out, "--imgsz", 96, "--int8-calibration", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "calibrating 8 bits with 2 images (experimental) …"
    assert re.match(r"8 bits on 2 images: \d+ of \d+ objects matched, median differences: boxes ", lines[4])
    assert "quantized" in build_engine(out, device="cpu").metadata


@pytest.mark.parametrize(
    ("words", "num_images"),
    [
        pytest.param([], 64, id="default"),
        pytest.param(["--calibration-images", 3], 3, id="flag"),
        pytest.param(["--calibration-pictures", 3], 3, id="former-flag"),
    ],
)
def test_number_of_calibration_images(words, num_images):
    assert parse("--out", "n.onnx", *words).calibration_images == num_images


def test_half_precision(tmp_path):
    # These exaggerated weights exceed the tolerance in half precision, which half precision may.
    weights = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    assert run("--weights", weights, "--out", tmp_path / "n.onnx", "--imgsz", 64, "--half") == 0
    assert build_engine(tmp_path / "n.onnx", device="cpu").half


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        pytest.param(["--out", "n.engine"], ConfigError, "--out must end in .onnx, got n.engine", id="suffix"),
        pytest.param(["--out", "n.onnx", "--imgsz", "8"], ConfigError, "--imgsz must be 32..4096, got 8", id="imgsz"),
        pytest.param(
            ["--out", "n.onnx", "--weights", "m.onnx"],
            ConfigError,
            "m.onnx is already a graph; use it with --weights m.onnx",
            id="a graph",
        ),
        pytest.param(
            ["--out", "n.onnx", "--conf", "0.5", "--max-det", "9"],
            ConfigError,
            "--conf and --max-det require --nms; without it, all anchors are output",
            id="thresholds without suppression",
        ),
        pytest.param(["--out", "n.onnx", "--nms", "--iou", "7"], ConfigError, "iou must be 0..1, got 7", id="iou"),
        pytest.param(
            ["--out", "n.onnx", "--half", "--int8-calibration", "."],
            ConfigError,
            "--half and --int8-calibration are mutually exclusive",
            id="two precisions",
        ),
        pytest.param(["--out", "n.onnx", "--weights", "absent"], WeightsError, "no weights at absent", id="absent"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, monkeypatch, words, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as caught:
        run(*words)
    assert isinstance(caught.value, StreamsegError)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_path_writes_nothing(weights, tmp_path):
    (tmp_path / "n.onnx").mkdir()
    with pytest.raises(WeightsError, match="cannot write"):
        run("--weights", weights, "--out", tmp_path / "n.onnx", "--imgsz", 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.onnx", "n.safetensors"]
