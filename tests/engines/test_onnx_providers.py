from pathlib import Path

import pytest

from streamseg.engines.onnx_providers import GraphInput, provider_options
from streamseg.errors import EngineError

CACHE = Path("cache")


def test_cpu_has_no_options():
    assert provider_options("cpu", cache=CACHE) == [("CPUExecutionProvider", {})]


def test_cuda_computes_float32_without_tf32_on_the_chosen_gpu():
    ((name, options),) = provider_options("cuda:1", cache=CACHE, half=True)
    assert (name, options["device_id"], options["use_tf32"]) == ("CUDAExecutionProvider", 1, 0)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_cuda_computes_on_the_given_stream(device):
    assert "user_compute_stream" not in provider_options(device, cache=CACHE)[-1][1]
    assert provider_options(device, cache=CACHE, stream=4096)[-1][1]["user_compute_stream"] == "4096"


@pytest.mark.parametrize("half", [False, True])
def test_tensorrt_falls_back_to_cuda_and_keeps_what_it_built(half):
    (name, options), (fallback, _) = provider_options("tensorrt:1", cache=CACHE, half=half)
    assert (name, fallback) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert (options["trt_fp16_enable"], options["device_id"]) == (half, 1)
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == "cache"
    assert options["trt_timing_cache_enable"]


@pytest.mark.parametrize(
    ("shape", "smallest", "typical", "largest"),
    [
        pytest.param((None, None, None, 3), "1x32x32x3", "1x384x640x3", "8x1280x1280x3", id="own graphs"),
        pytest.param((None, 3, None, None), "1x3x32x32", "1x3x384x640", "8x3x1280x1280", id="channels first"),
        pytest.param((None, 3, 640, 640), "1x3x640x640", "1x3x640x640", "8x3x640x640", id="dynamic batch"),
        pytest.param((2, 3, None, None), "2x3x32x32", "2x3x384x640", "2x3x1280x1280", id="fixed batch"),
    ],
)
def test_tensorrt_gets_the_range_of_shapes(shape, smallest, typical, largest):
    options = provider_options("tensorrt", cache=CACHE, images=GraphInput("images", shape))[0][1]
    names = [f"trt_profile_{name}_shapes" for name in ("min", "opt", "max")]
    assert [options[name] for name in names] == [f"images:{size}" for size in (smallest, typical, largest)]


def test_tensorrt_needs_no_range_for_a_fixed_shape():
    options = provider_options("tensorrt", cache=CACHE, images=GraphInput("images", (1, 3, 640, 640)))[0][1]
    assert not any(name.startswith("trt_profile") for name in options)


def test_other_devices_are_an_error():
    with pytest.raises(EngineError, match="runs on cpu, cuda, tensorrt, not on 'npu'"):
        provider_options("npu", cache=CACHE)
