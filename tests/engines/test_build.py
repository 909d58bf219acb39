import pytest
import torch

from streamseg.engines import build_engine
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
    """A weights file whose graph is in the cache already: exporting takes a second."""
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


@pytest.mark.parametrize(
    ("engine", "half", "name", "is_half"),
    [
        ("auto", "auto", "onnx", False),
        ("auto", True, "torch", True),  # only torch has half precision on the CPU
        ("torch", "auto", "torch", False),
        ("onnx", False, "onnx", False),
    ],
)
def test_what_runs_on_the_cpu(weights, engine, half, name, is_half):
    built = build_engine(weights, engine=engine, device="cpu", half=half)
    assert (built.name, built.device, built.half) == (name, "cpu", is_half)
    assert built.run(blobs((64, 64))[None]).scores.shape == (1, 84)


@WITHOUT_CUDA
def test_without_cuda_the_device_is_the_cpu(weights):
    assert build_engine(weights, engine="torch").device == "cpu"


def test_a_graph_that_is_kept_is_not_exported_again(weights):
    (kept,) = cache_folder().iterdir()
    made = kept.stat().st_mtime_ns
    build_engine(weights, device="cpu")
    assert [path.stat().st_mtime_ns for path in cache_folder().iterdir()] == [made]


def test_an_exported_file_is_run_as_it_is(exported):
    assert build_engine(exported, device="cpu").name == "onnx"
    assert build_engine(exported, device="cpu", engine="onnx", half=False).half is False


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param(
            {"engine": "openvino"}, EngineError, "no engine 'openvino'; there are auto, torch and onnx", id="engine"
        ),
        pytest.param({"device": "mps"}, EngineError, "no device 'mps'; there are auto, cpu", id="device"),
        pytest.param({"device": "cuda:one"}, EngineError, "no device 'cuda:one'", id="index"),
        pytest.param({"device": "cuda:"}, EngineError, "no device 'cuda:'", id="no index"),
        pytest.param(
            {"device": "cuda:63"}, EngineError, "no device 'cuda:63': torch .* CUDA GPUs; use device cpu", id="cuda"
        ),
        pytest.param(
            {"device": "cuda:63", "engine": "onnx"}, EngineError, "cannot use device 'cuda:63'", id="cuda, onnx"
        ),
        pytest.param({"device": "tensorrt:63"}, EngineError, "cannot use device 'tensorrt:63'", id="tensorrt"),
        pytest.param(
            {"device": "tensorrt", "engine": "torch"}, EngineError, "TensorRT needs engine onnx", id="tensorrt, torch"
        ),
        pytest.param(
            {"device": "cpu", "engine": "onnx", "half": True}, EngineError, "no half precision on the CPU", id="half"
        ),
        pytest.param({"weights": "absent.onnx"}, WeightsError, "no weights at absent.onnx", id="absent graph"),
        pytest.param(
            {"weights": "absent.safetensors"}, WeightsError, "no weights at absent.safetensors", id="absent weights"
        ),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(weights, capfd, options, error, message):
    with pytest.raises(error, match=message) as caught:
        build_engine(**{"weights": weights, **options})
    assert "\n" not in str(caught.value)
    # ONNX Runtime would write pages about libraries that it cannot load.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [({"engine": "torch"}, "the torch engine cannot run"), ({"half": True}, "exported with half False, not True")],
)
def test_an_exported_file_that_does_not_suit(exported, options, message):
    with pytest.raises(EngineError, match=message):
        build_engine(exported, device="cpu", **options)
