"""Fused operations: references, the choice between both, and the CUDA sources compiled by a host compiler."""

import ctypes
import shutil
import subprocess

import pytest
import torch

from streamseg.geometry import box_iou
from streamseg.modeling.fused import FusedOperation, _iou, biased_leaky_relu, biased_silu, fused_iou
from streamseg.modeling.network import fuse
from streamseg.modeling.yolov8 import build_yolov8

SHIM = """
#include <cmath>
static float __fsub_rn(float a, float b) { return a - b; }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fdiv_rn(float a, float b) { return a / b; }
"""


def boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    low = (torch.rand(2, count, 2, generator=generator) * 60).round()
    return torch.cat([low, low + (torch.rand(2, count, 2, generator=generator) * 40).round()], dim=-1)


def test_iou_equals_that_of_geometry():
    first, second = boxes(20, 0), boxes(30, 1)
    assert fused_iou(first, second).equal(box_iou(first, second))


@pytest.mark.parametrize("operation", [biased_silu, biased_leaky_relu, _iou], ids=lambda one: one._name)
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_cuda_source_computes_the_reference(operation, tmp_path):
    count = 2 if operation._name.startswith("biased") else 8
    arguments = ", ".join(f"p[{number}]" for number in range(count))
    code = (
        f'{SHIM}{operation._source}\nextern "C" float run(const float* p) {{ return {operation._name}({arguments}); }}'
    )
    (tmp_path / "source.cpp").write_text(code)
    library = tmp_path / "source.so"
    # Without contraction, as the CUDA functions: a fused multiply-add rounds once.
    command = ["g++", "-shared", "-fPIC", "-O1", "-ffp-contract=off", str(tmp_path / "source.cpp"), "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True)
    run = ctypes.CDLL(str(library)).run
    run.restype = ctypes.c_float
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        inputs = (torch.rand(count, generator=generator) * 40 - (20 if count == 2 else 0)).round()
        if count == 8:
            inputs[2:4] += inputs[:2] - 5
            inputs[6:] += inputs[4:6] - 5
        found = run((ctypes.c_float * count)(*inputs.tolist()))
        expected = operation._reference(*(value.view(1, 1, 1) for value in inputs))
        torch.testing.assert_close(torch.tensor(found), expected[0, 0, 0], rtol=1e-6 if count == 2 else 0, atol=1e-7)


class Compiled(FusedOperation):
    """An operation whose compiled function is given."""

    def __init__(self, name, kernel):
        super().__init__(name, 1, "", torch.neg)
        self._given = kernel

    def compiled(self):
        return self._given


def broken(values):
    raise RuntimeError("no NVRTC\nand more")


@pytest.mark.parametrize(
    ("name", "kernel", "is_used"),
    [
        pytest.param("right", lambda values: -values, True, id="right"),
        pytest.param("wrong", lambda values: values, False, id="wrong"),
        pytest.param("broken", broken, False, id="broken"),
    ],
)
def test_compiled_function_is_used_if_its_first_result_is_right(name, kernel, is_used, caplog):
    operation, values = Compiled(name, kernel), torch.arange(3.0)
    for _ in range(2):
        assert operation.on_cuda(values).equal(-values)
    assert (operation._kernel is kernel) is is_used
    assert ("runs unfused" in caplog.text) is not is_used


def test_jiterator_reads_the_sources():
    for operation in (biased_silu, biased_leaky_relu, _iou):
        assert operation.compiled().kernel_name == operation._name


def test_network_with_fused_biases_computes_the_same():
    network = fuse(build_yolov8("n", seed=0))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
        for module in network.modules():
            if hasattr(module, "fuses_bias"):
                module.fuses_bias = True
        for ours, theirs in zip(network(images), expected, strict=True):
            if theirs is not None:
                torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
