import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import streamseg
from streamseg.engines.engine import largest_differences
from streamseg.engines.export import OUTPUTS, cache_folder, cached_graph, export_graph, graph_path
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.torch_engine import TorchEngine
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.weights import Weights
from tests.support.networks import blobs, lively_graph, lively_network

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def weights():
    return Weights(lively_network().state_dict(), {}, Path("some/n.safetensors"), "0123456789abcdef" * 4)


def shapes(values):
    return {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in values
    }


def test_graph_is_valid_with_dynamic_axes():
    model = onnx.load_from_string(lively_graph())
    onnx.checker.check_model(model, full_check=True)
    assert shapes(model.graph.input) == {"images": ["batch", "height", "width", 3]}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    outputs = shapes(model.graph.output)
    assert tuple(outputs) == OUTPUTS
    assert outputs["boxes"] == ["batch", "anchors", 4]
    assert outputs["scores"] == ["batch", "anchors"]
    assert outputs["mask_coefficients"] == ["batch", "anchors", 32]
    assert outputs["prototypes"] == ["batch", 32, "grid_height", "grid_width"]


def test_graph_metadata():
    network = build_yolov8("n", reg_max=20, seed=0).eval()
    model = onnx.load_from_string(export_graph(network, metadata={"trained_by": "a_user", "stride": "wrong"}))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == {
        "streamseg_graph": "1",
        "streamseg_version": streamseg.__version__,
        "names": json.dumps({"0": "object"}),
        "stride": "32",
        "num_classes": "1",
        "reg_max": "20",
        "half": "false",
        "trained_by": "a_user",
    }


def test_half_precision_halves_the_file_size():
    assert len(lively_graph(half=True)) < 0.52 * len(lively_graph())


@pytest.mark.parametrize(
    ("change", "half"),
    [
        pytest.param({}, True, id="precision"),
        pytest.param({"sha256": "f" * 64}, False, id="contents"),
        pytest.param({"path": Path("m.safetensors")}, False, id="name"),
    ],
)
def test_different_weights_have_different_cache_paths(weights, change, half):
    assert graph_path(replace(weights, **change), half=half) != graph_path(weights)


def test_cache_folder_follows_the_environment(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("STREAMSEG_CACHE")
    monkeypatch.setenv("HOME", "/home/user")
    assert cache_folder() == Path("/home/user/.cache/streamseg")


def test_graph_is_exported_once(weights, cache):
    first = cached_graph(weights)
    (cached,) = cache.iterdir()
    assert cached == graph_path(weights)
    cached.write_bytes(b"contents of the cached file")
    assert onnx.load_from_string(first).graph.output
    assert cached_graph(weights) == b"contents of the cached file"


def test_unwritable_cache_logs_a_warning(weights, cache, caplog):
    cache.write_text("a file in place of the folder")
    with caplog.at_level(logging.WARNING):
        assert cached_graph(weights)
    assert ["could not cache" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("suppression", [None, NmsSettings(max_det=20)], ids=["all-anchors", "suppressed"])
def test_graph_with_embeddings(suppression):
    network = build_nanodet(NanoDetConfig(prototype_channels=8, mask_channels=8, embedding_channels=12), seed=0).eval()
    images = np.stack([blobs((64, 96), seed) for seed in range(2)])
    found = OnnxEngine(export_graph(network, suppression=suppression)).run(images)
    expected = TorchEngine(network).run(images)
    assert found.embeddings is not None
    assert found.embeddings.shape == (2, 12, 8, 12)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    if suppression is None:
        assert max(largest_differences(found, expected).values()) < 1e-3
