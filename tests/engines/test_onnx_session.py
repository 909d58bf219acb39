import numpy as np
import onnxruntime
import pytest
import torch

from streamseg.engines.onnx_session import RUN_ERRORS, _computes_in_half, open_session, quiet
from streamseg.errors import EngineError, WeightsError
from tests.support.networks import blobs, lively_graph


def test_session_uses_the_requested_number_of_threads():
    session = open_session(lively_graph(), path="n.onnx", num_threads=1)
    assert session.get_session_options().intra_op_num_threads == 1
    assert len(session.run(None, {"images": blobs((64, 64))[None]})) == 4


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x89PNG" * 50, id="other bytes"),
        pytest.param(b"weights" * 1000, id="text"),
    ],
)
def test_other_contents_are_a_one_line_error(graph, capfd):
    with pytest.raises(WeightsError, match=r"^some/n.onnx is not a usable ONNX graph: ") as caught:
        open_session(graph, path="some/n.onnx")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_unavailable_device_is_an_error():
    with pytest.raises(EngineError, match="runs on cpu, cuda, tensorrt, not on 'npu'"):
        open_session(lively_graph(), path="n.onnx", device="npu")
    with pytest.raises(EngineError, match="cannot use device 'cuda:63'"):
        open_session(lively_graph(), path="n.onnx", device="cuda:63")


def test_unsupported_arrays_raise_run_errors(capfd):
    session = open_session(lively_graph(), path="n.onnx")
    with quiet(), pytest.raises(RUN_ERRORS):
        session.run(None, {"images": np.zeros((1, 64, 64, 4), np.uint8)})
    assert onnxruntime.get_available_providers()
    assert capfd.readouterr().err == ""


def test_missing_libraries_are_named_with_what_to_install():
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or torch.cuda.is_available():
        pytest.skip("needs ONNX Runtime built for CUDA on a machine without it")
    with pytest.raises(EngineError, match=r"cannot use device 'cuda'.*missing lib\S+.*for a GPU: .*use device cpu$"):
        open_session(lively_graph(), path="n.onnx", device="cuda")


@pytest.mark.parametrize("half", [False, True])
def test_half_precision_is_recognised_by_the_graph(half):
    session = open_session(lively_graph(half=half), path="n.onnx")
    assert _computes_in_half(session) is half
