import numpy as np
import pytest

from streamseg.engines import largest_differences
from streamseg.engines.export import export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.modeling.yolov8 import build_yolov8
from tests.support.networks import blobs, later_graph, lively_graph, lively_network

TOLERANCE = 1e-3
"""Largest difference between the engines, in input pixels for boxes and in the units of the other arrays. float32 sums
in a different order cause it."""


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture(scope="module")
def graph():
    return lively_graph()


@pytest.mark.slow
def test_seeded_network_equals_torch():
    network = build_yolov8("n", seed=1, reg_max=20).eval()
    images = np.stack([blobs((96, 64), seed) for seed in range(2)])
    differences = largest_differences(OnnxEngine(export_graph(network)).run(images), TorchEngine(network).run(images))
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 128, 96), (3, 32, 128), (4, 64, 96), (1, 320, 576)])
def test_any_batch_height_and_width_equals_torch(graph, network, shape):
    batch, height, width = shape
    images = np.stack([blobs((height, width), seed) for seed in range(batch)])
    raw = OnnxEngine(graph).run(images)
    differences = largest_differences(raw, TorchEngine(network).run(images))
    # These weights are amplified until every anchor differs, and rounding errors with them.
    assert differences.pop("boxes") < 10 * TOLERANCE
    assert max(differences.values()) < TOLERANCE, differences
    # The test would prove nothing if all anchors were equal.
    assert raw.scores.min() < 0.1
    assert raw.scores.max() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 160)])
def test_half_precision_graph_keeps_boxes_and_scores_in_float32(network, shape):
    batch, height, width = shape
    engine = OnnxEngine(lively_graph(half=True))
    images = np.stack([blobs((height, width), seed) for seed in range(batch)])
    raw = engine.run(images)
    assert engine.half
    assert raw.boxes.dtype == raw.scores.dtype == np.float32
    assert raw.mask_coefficients.dtype == raw.prototypes.dtype == np.float16
    differences = largest_differences(raw, TorchEngine(network).run(images))
    # Limits of float16 documented in `TorchEngine`; the coefficients of these weights reach 8.
    assert 0 < differences["scores"] < 0.02
    assert differences["boxes"] < 2
    assert differences["mask_coefficients"] < 0.1
    assert differences["prototypes"] < 0.01


def test_properties(graph):
    engine = OnnxEngine(graph)
    assert (engine.name, engine.device, engine.half) == ("onnx", "cpu", False)
    assert (engine.input_size, engine.max_batch) == (None, None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda graph: b"", "is not a usable ONNX graph", id="empty"),
        pytest.param(lambda graph: b"\x89PNG" * 50, "is not a usable ONNX graph", id="other bytes"),
        pytest.param(lambda graph: graph[: len(graph) // 2], "is not a usable ONNX graph", id="truncated"),
        pytest.param(later_graph, "its graph has version 999, but version 1 is required", id="another version"),
    ],
)
def test_unusable_graph_is_a_one_line_error_with_its_path(graph, spoil, message):
    with pytest.raises(WeightsError, match=message) as caught:
        OnnxEngine(spoil(graph), path="some/where.onnx")
    assert str(caught.value).startswith("some/where.onnx ")
    assert "\n" not in str(caught.value)


def test_unknown_device_error_lists_the_known_ones(graph):
    with pytest.raises(EngineError, match=r"runs on cpu, cuda, tensorrt, not on 'npu'"):
        OnnxEngine(graph, device="npu")


def test_closed_engine_does_not_run(graph):
    engine = OnnxEngine(graph)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(blobs((64, 64))[None])
