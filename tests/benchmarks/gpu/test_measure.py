"""Each kind of measurement, small and on the CPU; TensorRT with a module of the same interface."""

import sys
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu.cases import CASES, floors, network_flops, seeded_network
from benchmarks.gpu.check import network_inputs
from benchmarks.gpu.measure import measure
from benchmarks.gpu.modes import open_engine
from benchmarks.gpu.plan import Measurement
from benchmarks.gpu.workers import Request, Unavailable
from streamseg.engines.torch_engine import TorchEngine
from tests.support.fake_tensorrt import Module

S8 = next(case for case in CASES if case.name == "s8").at(96)
NUM_OBJECTS = 12
pytestmark = pytest.mark.slow


def request(kind, mode="graph", *, seconds=0.5, batch=2, sharp=False):
    case = replace(S8, batch=batch, sharp=sharp)
    return Request(Measurement(case, kind, mode), "cpu", NUM_OBJECTS, seconds, 2, limit_seconds=110)


def test_check_compares_whole_batches():
    values = measure(request("check"))
    assert values["is_equal"]
    assert values["objects"] == [2 * NUM_OBJECTS] * 2


def test_sharp_masks_are_compared_and_timed_with_the_refiner():
    values = measure(request("check", batch=1, sharp=True))
    assert values["is_equal"]
    plain = measure(request("stages", batch=1))["stages_ms"]
    assert list(measure(request("stages", batch=1, sharp=True))["stages_ms"]) == [
        *("letterbox", "network", "selection", "logits", "refiner", "embeddings", "masks")
    ]
    assert "refiner" not in plain


@pytest.mark.parametrize("mode", ["graph", "torch"])
def test_frames_have_the_objects_of_the_case(mode):
    values = measure(request("frames", mode))
    assert values["objects"] == NUM_OBJECTS
    assert values["end_to_end_ms"].num_runs >= 1
    assert values["end_to_end_ms"].p50 > values["stages_ms"]["network"].p50 > 0
    assert values["frames_per_second"] == pytest.approx(2000 / values["end_to_end_ms"].p50, rel=0.01)
    assert not values["half"]


def test_stages_of_the_step_and_arithmetic():
    values = measure(request("stages"))
    assert list(values["stages_ms"]) == ["letterbox", "network", "selection", "logits", "embeddings", "masks"]
    assert values["graph_ms"] is None  # graphs need a GPU
    assert values["network_tflops"] >= 0


def test_cameras_reach_a_subscriber_through_the_runtime():
    values = measure(request("live", seconds=2.0))
    for rate in ("at_30_fps", "saturated"):
        assert values[rate]["cameras"] == 2
        assert values[rate]["messages"] >= 1
        assert values[rate]["age_ms"].p50 > 0


def test_tensorrt(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", Module())
    values = measure(request("frames", "tensorrt"))
    assert values["objects"] == NUM_OBJECTS
    assert values["half_check"]["is_close"]
    assert values["network_ms"].p50 > 0
    assert values["build_seconds"] > 0
    assert values["export_seconds"] > 0


def test_onnx_runtime():
    assert measure(request("frames", "onnx"))["objects"] == NUM_OBJECTS


@pytest.mark.parametrize(
    ("mode", "module", "message"),
    [
        pytest.param("tensorrt", "tensorrt", "pip install tensorrt", id="TensorRT"),
        pytest.param("onnx", "streamseg.engines.onnx_engine", "ONNX Runtime cannot be imported", id="ONNX Runtime"),
    ],
)
def test_missing_packages_are_one_line(monkeypatch, mode, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match=message) as caught:
        measure(request("frames", mode))
    assert "\n" not in str(caught.value)


def test_missing_provider_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Unavailable, match="cannot use device") as caught:
        open_engine(S8, "onnx", "cuda:0", seeded_network(S8, NUM_OBJECTS), half=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("imgsz", [96, 160])
def test_networks_let_six_candidates_per_object_through(imgsz):
    case = S8.at(imgsz)
    decoded = TorchEngine(seeded_network(case, NUM_OBJECTS), imgsz=imgsz).predict(network_inputs(case, "cpu")[:1])
    assert int((decoded.scores > 0.25).sum()) == pytest.approx(6 * NUM_OBJECTS, abs=2)


def test_arithmetic_of_the_sizes():
    flops = {case.name: network_flops(case) / 1e9 for case in CASES if case.batch == 1}
    assert flops == pytest.approx({"x1": 475, "x1sharp": 475, "s1": 24}, rel=0.01)


def test_floors_belong_to_the_size_they_were_estimated_for():
    assert all("RTX 3090" in floors(case) for case in CASES)
    assert floors(CASES[0].at(64)) == ""
    assert CASES[0].at(None) is CASES[0].at(CASES[0].imgsz) is CASES[0]
