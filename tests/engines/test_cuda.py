import dataclasses

import pytest
import torch

from streamseg.engines.cuda import CudaState, cuda_state, disable_tf32

RTX = CudaState(built_for="13.0", architectures=("sm_80", "sm_86", "sm_90"), capabilities=((8, 6),), has_driver=True)


@pytest.mark.parametrize(
    ("changes", "index", "problem"),
    [
        pytest.param({}, 0, None, id="same architecture"),
        pytest.param({"capabilities": ((8, 9),)}, 0, None, id="later minor version"),
        pytest.param({"capabilities": ((8, 6), (9, 0))}, 1, None, id="second GPU"),
        pytest.param(
            {"architectures": ("sm_80", "compute_90"), "capabilities": ((12, 0),)}, 0, None, id="PTX for a later GPU"
        ),
        pytest.param(
            {"architectures": ("sm_90a", "sm_100f"), "capabilities": ((10, 0),)}, 0, None, id="suffixes of features"
        ),
        pytest.param({"capabilities": ((6, 1),)}, 0, "torch has no kernels for its architecture sm_61", id="too old"),
        pytest.param({"capabilities": ((12, 0),)}, 0, "torch has no kernels for its architecture sm_120", id="too new"),
        pytest.param({"built_for": None, "capabilities": ()}, 0, "torch is a CPU build", id="CPU build"),
        pytest.param({"capabilities": ()}, 0, "the driver of the GPU is too old for CUDA 13.0", id="old driver"),
        pytest.param({"capabilities": (), "has_driver": False}, 0, "no driver of an NVIDIA GPU", id="no driver"),
        pytest.param({}, 1, "torch finds 1 CUDA GPUs", id="no such GPU"),
    ],
)
def test_unusable_gpus_have_a_reason(changes, index, problem):
    found = dataclasses.replace(RTX, **changes).problem(index)
    assert found is None if problem is None else (found is not None and problem in found and "\n" not in found)


def test_state_of_this_machine_agrees_with_torch():
    state = cuda_state()
    assert state.built_for == torch.version.cuda
    assert len(state.capabilities) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def test_float32_is_computed_in_float32():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        disable_tf32()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
