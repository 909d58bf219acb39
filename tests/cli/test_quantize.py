import argparse
from contextlib import closing

import numpy as np
import pytest

from streamseg.cli import quantize
from streamseg.engines import build_engine
from streamseg.engines.int8_graphs import find_int8_graph, int8_path, read_accuracy
from streamseg.engines.openvino_model import read_xml
from streamseg.engines.own_graph import QUANTIZED
from streamseg.errors import StreamsegError
from streamseg.weights import load_weights, save_weights
from tests.support.datasets import coco_folder, coco_labels
from tests.support.networks import blobs, lively_network
from tests.support.openvino import WITH_NNCF

pytestmark = [pytest.mark.slow, WITH_NNCF]


def run(*words):
    parser = argparse.ArgumentParser()
    quantize.add_parser(parser.add_subparsers())
    args = parser.parse_args(["quantize", *map(str, words)])
    return args.command(args)


@pytest.fixture
def weights(tmp_path):
    metadata = {"imgsz": "96", "recipe": "none"}
    return save_weights(lively_network().state_dict(), tmp_path / "n.safetensors", metadata=metadata)


@pytest.fixture
def data(tmp_path):
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 30:60] = 1
    return coco_folder(tmp_path / "labelled", [(blobs((64, 96), seed), coco_labels([mask])) for seed in range(2)])


def test_quantised_graph_is_found_runs_and_has_its_provenance(weights, data, capsys):
    assert run("--weights", weights, "--images", data / "images", "--check", data) == 0
    loaded = load_weights(weights)
    path = int8_path(loaded)
    assert f"wrote {path} and {path.stem}.bin" in capsys.readouterr().out
    metadata = read_xml(path).metadata
    assert metadata[QUANTIZED].startswith("int8, NNCF ")
    assert metadata[QUANTIZED].endswith("ranges from 2 images")
    assert metadata["weights_sha256"] == loaded.sha256
    assert metadata["recipe"] == "none"
    assert metadata["quantized_by"].startswith("streamseg ")
    assert len(metadata["calibration_sha256"]) == 64
    accuracy = read_accuracy(metadata)
    assert accuracy is not None
    assert accuracy.measured == "labelled, 2 images, imgsz 96, plain masks"
    assert (find_int8_graph(loaded) is not None) is accuracy.is_acceptable
    # Weights of 8 bits, except the last layers, and the names of the operators.
    assert path.with_suffix(".bin").stat().st_size < 0.3 * 4 * 3_300_000
    images = blobs((64, 96))[None]
    with closing(build_engine(path)) as int8, closing(build_engine(weights, engine="openvino")) as in_float:
        assert (int8.imgsz, int8.half, int8.is_quantized, in_float.is_quantized) == (96, False, True, False)
        found, expected = int8.run(images), in_float.run(images)
    difference = np.abs(found.scores - expected.scores)
    assert 0 < difference.mean() < 0.1
    assert found.prototypes.shape == expected.prototypes.shape


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--out", "n.onnx"], r"--out must end in .xml, got n.onnx", id="suffix"),
        pytest.param(["--weights", "n.xml"], r"n.xml is already a graph", id="graph"),
        pytest.param(["--imgsz", 16], r"--imgsz must be 32..4096, got 16", id="imgsz"),
        pytest.param(["--num-images", 0], r"--num-images must be 1 or more, got 0", id="no images"),
        pytest.param(["--limit", 3], r"--limit must be 1 or more and requires --check, got 3", id="limit alone"),
        pytest.param(["--check", "absent"], r"no folder absent; --check takes a data set in COCO format", id="check"),
        pytest.param(["--images", "absent"], r"no folder absent; calibration requires a folder", id="folder"),
        pytest.param(["--weights", "absent.safetensors"], r"no weights at absent.safetensors", id="weights"),
    ],
)
def test_bad_arguments_are_one_line_errors(weights, data, words, message):
    defaults = {"--weights": weights, "--images": data / "images"} | dict(zip(words[::2], words[1::2], strict=True))
    with pytest.raises(StreamsegError, match=message) as caught:
        run(*(word for pair in defaults.items() for word in pair))
    assert "\n" not in str(caught.value)
