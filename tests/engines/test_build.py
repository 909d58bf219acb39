import pytest
import torch

from streamseg.engines import build, build_engine
from streamseg.engines.cuda import CudaState
from streamseg.engines.export import cache_folder, graph_path
from streamseg.errors import EngineError, WeightsError
from streamseg.weights import load_weights, save_weights
from tests.support.networks import blobs, lively_graph, lively_network

WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture
def weights(network, tmp_path, monkeypatch):
    """Weights file whose graph is already cached, because exporting takes a second."""
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    path = save_weights(network.state_dict(), tmp_path / "n.safetensors")
    cache_folder().mkdir()
    graph_path(load_weights(path)).write_bytes(lively_graph())
    return path


@pytest.fixture
def exported(tmp_path):
    path = tmp_path / "n.onnx"
    path.write_bytes(lively_graph())
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "half", "name", "is_half"),
    [
        ("auto", "auto", "onnx", False),
        ("auto", True, "torch", True),  # only torch has half precision on the CPU
        ("torch", "auto", "torch", False),
        ("device", "auto", "torch", False),
        ("onnx", False, "onnx", False),
    ],
)
def test_engine_selection_on_the_cpu(weights, engine, half, name, is_half):
    built = build_engine(weights, engine=engine, device="cpu", half=half)
    assert (built.name, built.device, built.half) == (name, "cpu", is_half)
    assert getattr(built, "selects", False) is (engine == "device")
    assert built.run(blobs((64, 64))[None]).scores.shape == (1, 84)


@pytest.mark.slow
@WITHOUT_CUDA
def test_default_device_without_cuda_is_the_cpu(weights):
    assert build_engine(weights, engine="torch").device == "cpu"


@pytest.mark.slow
def test_cached_graph_is_not_exported_again(weights):
    (cached,) = cache_folder().iterdir()
    modified = cached.stat().st_mtime_ns
    build_engine(weights, device="cpu")
    assert [path.stat().st_mtime_ns for path in cache_folder().iterdir()] == [modified]


@pytest.mark.slow
def test_exported_file_runs_unchanged(exported):
    assert build_engine(exported, device="cpu").name == "onnx"
    assert build_engine(exported, device="cpu", engine="onnx", half=False).half is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param(
            {"engine": "tflite"},
            EngineError,
            "no engine 'tflite'; allowed are auto, torch, onnx, openvino, device and tensorrt",
            id="engine",
        ),
        pytest.param({"device": "mps"}, EngineError, "no device 'mps'; allowed are auto, cpu", id="device"),
        pytest.param({"device": "cuda:one"}, EngineError, "no device 'cuda:one'", id="index"),
        pytest.param({"device": "cuda:"}, EngineError, "no device 'cuda:'", id="no index"),
        pytest.param({"device": "cuda:63"}, EngineError, "no device 'cuda:63': .*, or use device cpu", id="cuda"),
        pytest.param(
            {"device": "cuda:63", "engine": "onnx"}, EngineError, "cannot use device 'cuda:63'", id="cuda, onnx"
        ),
        pytest.param({"device": "tensorrt:63"}, EngineError, "cannot use device 'tensorrt:63'", id="tensorrt"),
        pytest.param(
            {"device": "tensorrt", "engine": "torch"}, EngineError, "TensorRT needs engine onnx", id="tensorrt, torch"
        ),
        pytest.param(
            {"engine": "tensorrt", "device": "cpu"}, EngineError, "tensorrt engine runs on cuda", id="cpu, tensorrt"
        ),
        pytest.param(
            {"engine": "openvino", "device": "cuda"},
            EngineError,
            "openvino engine runs on the CPU, not on 'cuda'; use device cpu",
            id="cuda, openvino",
        ),
        pytest.param({"weights": "absent.xml", "engine": "torch"}, EngineError, "use engine openvino", id="torch, xml"),
        pytest.param(
            {"device": "cpu", "engine": "onnx", "half": True}, EngineError, "does not support half precision", id="half"
        ),
        pytest.param({"weights": "absent.onnx"}, WeightsError, "no weights at absent.onnx", id="absent graph"),
        pytest.param(
            {"weights": "absent.safetensors"}, WeightsError, "no weights at absent.safetensors", id="absent weights"
        ),
    ],
)
def test_unavailable_engine_is_a_one_line_error(weights, capfd, options, error, message):
    with pytest.raises(error, match=message) as caught:
        build_engine(**{"weights": weights, **options})
    assert "\n" not in str(caught.value)
    # ONNX Runtime would log pages about libraries that it cannot load.
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "torch"}, "the torch engine cannot run"),
        ({"engine": "device"}, "the device engine cannot run"),
        ({"half": True}, "exported with half False, not True"),
    ],
)
def test_exported_file_rejects_incompatible_options(exported, options, message):
    with pytest.raises(EngineError, match=message):
        build_engine(exported, device="cpu", **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("built_for", "has_driver", "warning"),
    [
        pytest.param(None, False, None, id="no GPU"),
        pytest.param(None, True, "although there is an NVIDIA GPU: torch is a CPU build", id="CPU build"),
        pytest.param("13.0", True, "the driver of the GPU is too old for CUDA 13.0", id="old driver"),
    ],
)
def test_unused_gpu_is_logged_with_its_reason(weights, monkeypatch, caplog, built_for, has_driver, warning):
    state = CudaState(built_for=built_for, architectures=(), capabilities=(), has_driver=has_driver)
    monkeypatch.setattr(build, "cuda_state", lambda: state)
    assert build_engine(weights, engine="torch").device == "cpu"
    assert (warning or "") in caplog.text
    assert bool(caplog.records) is (warning is not None)


@pytest.mark.slow
def test_graph_on_auto_falls_back_to_the_cpu_with_a_warning(exported, monkeypatch, caplog):
    usable = CudaState(built_for="13.0", architectures=("sm_90",), capabilities=((9, 0),), has_driver=True)
    monkeypatch.setattr(build, "cuda_state", lambda: usable)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert build_engine(exported).device == "cpu"
    assert "on the CPU: this ONNX Runtime cannot use device 'cuda:0'" in caplog.text
    with pytest.raises(EngineError, match="cannot use device 'cuda:0'"):
        build_engine(exported, device="cuda")
