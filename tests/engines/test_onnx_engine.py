import numpy as np
import onnx
import pytest
from onnx import helper

from streamseg.engines import largest_differences
from streamseg.engines.export import export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.modeling.network import build_network
from tests.support.networks import blobs, lively_graph, lively_network

TOLERANCE = 1e-3
"""Between the engines: input pixels for boxes, and the arrays' own units. What float32 sums in another order cost."""


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture(scope="module")
def graph():
    return lively_graph()


def test_a_seeded_network_is_answered_as_torch_does():
    network = build_network("n", seed=1, reg_max=20).eval()
    images = np.stack([blobs((96, 64), seed) for seed in range(2)])
    apart = largest_differences(OnnxEngine(export_graph(network)).run(images), TorchEngine(network).run(images))
    assert max(apart.values()) < TOLERANCE, apart


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 128, 96), (3, 32, 128), (4, 64, 96), (1, 320, 576)])
def test_any_batch_height_and_width_runs(graph, network, shape):
    batch, height, width = shape
    images = np.stack([blobs((height, width), seed) for seed in range(batch)])
    raw = OnnxEngine(graph).run(images)
    apart = largest_differences(raw, TorchEngine(network).run(images))
    # These weights are turned up until every anchor answers differently, and rounding errors with them.
    assert apart.pop("boxes") < 10 * TOLERANCE
    assert max(apart.values()) < TOLERANCE, apart
    # The test would prove nothing if all anchors said the same.
    assert raw.scores.min() < 0.1
    assert raw.scores.max() > 0.9


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 160)])
def test_a_half_precision_graph_keeps_boxes_and_scores_in_float32(network, shape):
    batch, height, width = shape
    engine = OnnxEngine(lively_graph(half=True))
    images = np.stack([blobs((height, width), seed) for seed in range(batch)])
    raw = engine.run(images)
    assert engine.half
    assert raw.boxes.dtype == raw.scores.dtype == np.float32
    assert raw.mask_coefficients.dtype == raw.prototypes.dtype == np.float16
    apart = largest_differences(raw, TorchEngine(network).run(images))
    # As `TorchEngine` says of float16; the coefficients of these weights reach 8.
    assert 0 < apart["scores"] < 0.02
    assert apart["boxes"] < 2
    assert apart["mask_coefficients"] < 0.1
    assert apart["prototypes"] < 0.01


def test_it_says_what_it_is(graph):
    engine = OnnxEngine(graph)
    assert (engine.name, engine.device, engine.half) == ("onnx", "cpu", False)
    assert (engine.input_size, engine.max_batch) == (None, None)


def later_graph(graph):
    model = onnx.load_from_string(graph)
    helper.set_model_props(model, {"streamseg_graph": "999"})
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda graph: b"", "is not an ONNX graph that can be run", id="empty"),
        pytest.param(lambda graph: b"\x89PNG" * 50, "is not an ONNX graph that can be run", id="foreign bytes"),
        pytest.param(lambda graph: graph[: len(graph) // 2], "is not an ONNX graph that can be run", id="truncated"),
        pytest.param(later_graph, "its graph is of version 999; needed is version 1", id="another version's"),
    ],
)
def test_a_graph_that_does_not_fit_is_named(graph, spoil, message):
    with pytest.raises(WeightsError, match=message) as caught:
        OnnxEngine(spoil(graph), path="some/where.onnx")
    assert str(caught.value).startswith("some/where.onnx ")
    assert "\n" not in str(caught.value)


def test_an_unknown_device_names_the_known_ones(graph):
    with pytest.raises(EngineError, match=r"runs on cpu, cuda, tensorrt, not on 'npu'"):
        OnnxEngine(graph, device="npu")


def test_a_closed_engine_runs_nothing(graph):
    engine = OnnxEngine(graph)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(blobs((64, 64))[None])
