"""TensorRT: what is built and cached, and results on torch's buffers, with a module that runs graphs on the CPU."""

import sys

import numpy as np
import pytest
import torch

from streamseg.engines.export import export_graph
from streamseg.engines.tensorrt_engine import TensorRtEngine
from streamseg.engines.tensorrt_plan import (
    BATCHES,
    build_plan,
    cached_plan,
    graph_for_tensorrt,
    load_tensorrt,
    plan_path,
)
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError
from streamseg.segmentation import Segmenter
from tests.support.fake_tensorrt import Module
from tests.support.networks import blobs, lively_network


@pytest.fixture(scope="module")
def graph():
    pytest.importorskip("onnx", reason="exports a graph")
    return export_graph(lively_network())


def engine_of(graph, module=None):
    module = module or Module()
    plan, _ = build_plan(module, graph_for_tensorrt(graph))
    return TensorRtEngine(module, plan, device="cpu", half=False, imgsz=96)


@pytest.mark.parametrize("count", [1, 3])
def test_results_equal_those_of_torch(graph, count):
    images = np.stack([blobs((64, 96), seed) for seed in range(count)])
    found = engine_of(graph).run(images).arrays()
    for name, expected in TorchEngine(lively_network()).run(images).arrays().items():
        np.testing.assert_allclose(found[name], expected, atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_segmenter_selects_on_the_device_from_its_buffers(graph):
    image = blobs((64, 96), 1)
    with Segmenter(engine=TorchEngine(lively_network(), imgsz=96), max_det=8) as segmenter:
        expected = segmenter(image)
    with Segmenter(engine=engine_of(graph), max_det=8) as segmenter:
        assert segmenter._device is not None
        found = segmenter(image)
        assert segmenter._device.num_left == 0
    torch.testing.assert_close(found.boxes, expected.boxes, atol=0.01, rtol=0)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-3, rtol=0)


def test_build_is_strongly_typed_without_tf32_and_with_a_profile_per_batch(graph):
    module = Module()
    plan, timings = build_plan(module, graph_for_tensorrt(graph), timings=b"earlier")
    (config,) = module.builds
    assert timings == b"earlier|timed"
    assert config.cleared == [module.BuilderFlag.TF32]
    for batch, profile in zip(BATCHES, config.profiles, strict=True):
        assert profile.shapes == [(batch, 32, 32, 3), (batch, 384, 640, 3), (batch, 1280, 1280, 3)]
    assert plan.startswith(b"plan")


def test_plan_is_built_once_per_graph_gpu_and_version(graph, tmp_path):
    module = Module()
    for gpu in ("H200", "H200", "RTX 3090"):
        plan = cached_plan(module, graph, gpu=gpu, folder=tmp_path)
    assert len(module.builds) == 2
    assert module.builds[1].cache.contents == b"|timed|timed"  # the second build knows the times of the first
    assert plan == plan_path(tmp_path, graph, gpu="RTX 3090", version=module.__version__).read_bytes()
    paths = {
        plan_path(tmp_path, contents, gpu=gpu, version=version)
        for contents in (b"a", b"b")
        for gpu in ("x", "y")
        for version in ("10.1", "10.2")
    }
    assert len(paths) == 8


@pytest.mark.parametrize(
    ("run", "message"),
    [
        pytest.param(lambda graph: build_plan(Module(), b"text"), "cannot read the network: not a graph", id="graph"),
        pytest.param(lambda graph: build_plan(Module(), graph), "cannot read the network", id="bytes transposed"),
        pytest.param(
            lambda graph: TensorRtEngine(Module(), b"old", device="cpu", half=False, imgsz=96),
            "delete its plans",
            id="plan",
        ),
        pytest.param(
            lambda graph: engine_of(graph).run(np.zeros((1, 32, 1312, 3), np.uint8)), "sides up to 1280", id="size"
        ),
        pytest.param(lambda graph: graph_for_tensorrt(graph_for_tensorrt(graph)), "streamseg exported", id="twice"),
    ],
)
def test_errors_are_one_line(graph, run, message):
    with pytest.raises(EngineError, match=message) as caught:
        run(graph)
    assert "\n" not in str(caught.value)


def test_closed_engine_does_not_run(graph):
    engine = engine_of(graph)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.predict(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))


def test_missing_and_old_versions_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match="pip install tensorrt"):
        load_tensorrt()
    old = Module()
    old.__version__ = "8.6.1"
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    with pytest.raises(EngineError, match=r"found 8\.6\.1"):
        load_tensorrt()


def test_plan_for_one_batch_size_and_typical_sides(graph):
    module = Module()
    plan, _ = build_plan(module, graph_for_tensorrt(graph), batches=(4,), typical=(576, 1024))
    (profile,) = module.builds[0].profiles
    assert profile.shapes == [(4, 32, 32, 3), (4, 576, 1024, 3), (4, 1280, 1280, 3)]
    engine = TensorRtEngine(module, plan, device="cpu", half=False, imgsz=96, batches=(4,))
    assert engine.max_batch == 4
    assert len(engine.run(np.stack([blobs((64, 96), 0)])).boxes) == 1


def test_plans_differ_by_typical_sides(tmp_path):
    sides = ((384, 640), (576, 1024))
    assert len({plan_path(tmp_path, b"a", gpu="x", version="10.1", typical=one) for one in sides}) == 2
