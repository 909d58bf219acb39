"""The choice between a CUDA function and its reference."""

import re

import pytest
import torch

from streamseg.modeling.cuda_kernel import KERNELS, CudaKernel, Launch, agree, blocks_for


def source_of(name):
    return f'extern "C" __global__ void {name}(const float* values, float* result) {{}}'


def negated(values):
    return -values


class Compiled(CudaKernel):
    """A kernel that negates, with a compiled function that is given."""

    def __init__(self, name, function):
        super().__init__(name, "(Tensor values) -> Tensor", source_of(name), negated, self._prepared)
        del KERNELS[name]  # never compiled
        self._given = function
        self.num_compiled = 0

    def _prepared(self, values):
        result = torch.empty_like(values)
        return Launch((result,), (values, result), 1) if len(values) else None

    def compiled(self, device):
        self.num_compiled += 1
        if self._given is None:
            raise OSError("libnvrtc.so.13 is missing\nand more")
        return self._given


def right(num_blocks, num_threads, arguments):
    arguments[1].copy_(-arguments[0])


def wrong(num_blocks, num_threads, arguments):
    arguments[1].copy_(arguments[0])


@pytest.mark.parametrize(
    ("name", "function", "is_used"),
    [
        pytest.param("kernel_right", right, True, id="right"),
        pytest.param("kernel_wrong", wrong, False, id="wrong"),
        pytest.param("kernel_missing", None, False, id="no compiler"),
    ],
)
def test_function_is_used_if_its_first_result_is_right(name, function, is_used, caplog):
    kernel, values = Compiled(name, function), torch.arange(1.0, 4.0)
    for _ in range(3):
        assert kernel.on_cuda(values).equal(-values)
    assert kernel.num_compiled == 1
    assert (kernel._functions[values.device] is not None) is is_used
    assert ("runs as separate operations" in caplog.text) is not is_used


def test_sizes_that_the_function_does_not_support_are_left_to_the_reference():
    kernel = Compiled("kernel_empty", wrong)
    assert kernel.on_cuda(torch.zeros(0)).shape == (0,)
    assert kernel.num_compiled == 0


def test_strided_inputs_are_an_error_on_every_device():
    with pytest.raises(AssertionError, match="strided"):
        Compiled("kernel_strided", right)(torch.zeros(3, 4).T)


def refuse(values, scale):
    return None


@pytest.mark.parametrize(
    ("schema", "source", "reference", "launch", "message"),
    [
        pytest.param("(Tensor values)", "kernel_names", negated, refuse, r"refuse takes .*'scale'", id="launch"),
        pytest.param("(Tensor v)", "kernel_names", negated, negated, r"negated takes .*values.* states .*v", id="name"),
        pytest.param("(Tensor scale, Tensor values)", "kernel_names", refuse, refuse, "refuse takes", id="order"),
        pytest.param("(Tensor values)", "another", negated, negated, "does not define", id="source"),
    ],
)
def test_schema_reference_launch_and_source_must_agree(schema, source, reference, launch, message):
    with pytest.raises(TypeError, match=message):
        CudaKernel("kernel_names", f"{schema} -> Tensor", source_of(source), reference, launch)
    assert "kernel_names" not in KERNELS
    assert not hasattr(torch.ops.streamseg, "kernel_names")


@pytest.fixture(scope="module")
def typed():
    kernel = Compiled("kernel_types", right)
    kernel.parameters = ("float*", "float*", "int", "double")
    return kernel


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param((torch.zeros(2), torch.zeros(2), 3, 0.5), None, id="right"),
        pytest.param((torch.zeros(2), torch.zeros(2), 3), "3 arguments for 4 parameters", id="one is missing"),
        pytest.param(
            (torch.zeros(2), torch.zeros(2).double(), 3, 0.5),
            r"argument 1 is a tensor of torch.float64, but the function takes float\*",
            id="type of elements",
        ),
        pytest.param((torch.zeros(2), torch.zeros(2, 3).T, 3, 0.5), "argument 1", id="strided"),
        pytest.param((torch.zeros(2), torch.zeros(2), 3, 1), "argument 3 is a int, .* takes double", id="number"),
        pytest.param((torch.zeros(2), torch.zeros(2), True, 0.5), "argument 2 is a bool", id="bool"),
        pytest.param((1, torch.zeros(2), 3, 0.5), "argument 0", id="number for a tensor"),
    ],
)
def test_arguments_have_the_types_of_the_cuda_function(typed, arguments, problem):
    found = typed.mismatch(Launch((), arguments, 1))
    assert found is None if problem is None else re.search(problem, found)


def test_types_are_read_from_the_source():
    assert Compiled("kernel_read", right).parameters == ("float*", "float*")


def test_function_is_not_started_with_wrong_arguments(caplog):
    kernel, values = Compiled("kernel_double", right), torch.arange(1.0, 4.0).double()
    assert kernel.on_cuda(values).equal(-values)
    assert kernel.num_compiled == 0
    assert "kernel_double runs as separate operations: argument 0 is a tensor of torch.float64" in caplog.text


@pytest.mark.parametrize(
    ("found", "expected", "is_same"),
    [
        pytest.param(torch.ones(2), torch.ones(2) + 1e-4, True, id="within the tolerance"),
        pytest.param(torch.ones(2), torch.ones(2) * 1.1, False, id="beyond"),
        pytest.param(torch.ones(2), torch.ones(3), False, id="shape"),
        pytest.param(torch.ones(2), torch.ones(2).double(), False, id="type"),
        pytest.param(torch.arange(100), torch.arange(100).roll(1), False, id="integers"),
        pytest.param(torch.arange(100), torch.arange(100).index_fill(0, torch.tensor([3]), 0), True, id="one flips"),
        pytest.param(torch.arange(0), torch.arange(0), True, id="empty"),
        pytest.param((torch.ones(1), torch.zeros(1)), (torch.ones(1), torch.ones(1)), False, id="second result"),
    ],
)
def test_agreement(found, expected, is_same):
    assert agree(found, expected, tolerance=1e-3, flips=0.01) is is_same


@pytest.mark.parametrize(("count", "blocks"), [(0, 1), (1, 1), (256, 1), (257, 2), (1 << 30, 4096)])
def test_blocks(count, blocks):
    assert blocks_for(count) == blocks
