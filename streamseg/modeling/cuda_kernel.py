"""CUDA functions in place of many small operations, each beside a reference in torch.

A function is one kernel where torch launches dozens. It is compiled at run time (`nvrtc`). On other devices, and if the
first result on a GPU differs from the reference's or cannot be computed, the reference runs. The sources do not depend
on the number of threads per block: the tests compile them with a host compiler and run them with few. They never ran
on a GPU.

Three descriptions of a function must agree, which is checked: the schema in torch's notation, whose parameters the
reference and the function that prepares a launch have by name, in this order; and the parameters of the CUDA function,
whose types the arguments of each launch have.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from streamseg.modeling.nvrtc import CompiledFunction, compile_function

__all__ = ["KERNELS", "CudaKernel", "Launch", "agree", "blocks_for"]

_logger = logging.getLogger(__name__)
_library = torch.library.Library("streamseg", "FRAGMENT")  # type: ignore[no-untyped-call]  # as long as the process

KERNELS: dict[str, CudaKernel] = {}
"""All kernels by name."""

MAX_BLOCKS: Final = 4096
"""Number of blocks of a kernel whose threads take several elements each; enough for every GPU."""

DTYPES: Final = {
    "unsigned char*": (torch.uint8, torch.bool),
    "float*": (torch.float32,),
    "double*": (torch.float64,),
    "int*": (torch.int32,),
    "long long*": (torch.int64,),
}
"""Types of the elements of a tensor by the pointer that a CUDA function takes."""

NUMBERS: Final = {"int": int, "double": float}
"""Types of numbers in Python by those that a CUDA function takes, as torch passes them."""

Results = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Launch:
    """One call of a CUDA function."""

    outputs: tuple[Tensor, ...]
    """New tensors that the function fills, on the device of the inputs."""
    arguments: tuple[Tensor | int | float, ...]
    """Arguments of the CUDA function, inputs and outputs; contiguous tensors."""
    num_blocks: int
    num_threads: int = 256
    """Threads per block."""


class CudaKernel:
    """A function of tensors and numbers, as one kernel on CUDA.

    Args:
        name: unique name; the CUDA function has it, too.
        schema: its signature in torch's notation, such as `(Tensor boxes, float iou) -> Tensor`.
        source: CUDA C++ that defines `extern "C" __global__ void name(...)`.
        reference: the function in torch.
        launch: prepares a call for inputs; None if the CUDA function does not support their sizes.
        tolerance: largest relative and absolute difference of results in floating point.
        flips: largest share of other results that differ.

    Raises:
        TypeError: reference or launch have other parameters than the schema, or the source does not define the
            function.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        source: str,
        reference: Callable[..., Results],
        launch: Callable[..., Launch | None],
        *,
        tolerance: float = 0.0,
        flips: float = 0.0,
    ) -> None:
        self.name, self.source, self.reference, self.launch = name, source, reference, launch
        stated = [one.split()[-1] for one in schema[1 : schema.index(")")].split(",")]
        for function in (reference, launch):
            found = list(inspect.signature(function).parameters)
            if found != stated:
                raise TypeError(f"{name}: {function.__name__} takes {found}, but the schema states {stated}")
        self.parameters = _declared(name, source)
        """Types of the parameters of the CUDA function, without `const`, such as `float*`."""
        self._tolerance, self._flips = tolerance, flips
        self._functions: dict[torch.device, CompiledFunction | None] = {}
        _library.define(f"{name}{schema}")  # type: ignore[no-untyped-call]
        _library.impl(name, reference, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        _library.impl(name, self.on_cuda, "CUDA")  # type: ignore[no-untyped-call]
        self._operation: Callable[..., Any] = getattr(torch.ops.streamseg, name)
        KERNELS[name] = self

    def __call__(self, *inputs: Any) -> Any:
        """Compute the function where the tensors are, which must be contiguous."""
        assert all(one.is_contiguous() for one in inputs if isinstance(one, Tensor)), f"{self.name}: strided input"
        return self._operation(*inputs)

    def on_cuda(self, *inputs: Any) -> Results:
        """Compute the function in one kernel, or by the reference if the first result was not that of the reference.

        The first call per GPU waits for it, so that it must not happen while a graph is captured.
        """
        launch = self.launch(*inputs)
        if launch is None:
            return self.reference(*inputs)
        device = launch.outputs[0].device
        if device not in self._functions:
            return self._checked(inputs, launch, device)
        function = self._functions[device]
        return self.reference(*inputs) if function is None else started(function, launch)

    def compiled(self, device: torch.device) -> CompiledFunction:
        """Compile the function for a device; raises RuntimeError or OSError if that is not possible."""
        return compile_function(self.source, self.name, device)

    def mismatch(self, launch: Launch) -> str | None:
        """Return in words how the arguments of a call differ from what the CUDA function takes; None if they fit."""
        if len(launch.arguments) != len(self.parameters):
            return f"{len(launch.arguments)} arguments for {len(self.parameters)} parameters"
        for number, (value, kind) in enumerate(zip(launch.arguments, self.parameters, strict=True)):
            if isinstance(value, Tensor):
                fits = value.is_contiguous() and value.dtype in DTYPES.get(kind, ())
            else:
                fits = type(value) is NUMBERS.get(kind)
            if not fits:
                of = f"tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
                return f"argument {number} is a {of}, but the function takes {kind}"
        return None

    def agrees(self, found: Results, expected: Results) -> bool:
        """Return whether results are those of the reference, within the tolerance."""
        return agree(found, expected, tolerance=self._tolerance, flips=self._flips)

    def _checked(self, inputs: Sequence[Any], launch: Launch, device: torch.device) -> Results:
        expected = self.reference(*inputs)
        self._functions[device] = None
        try:
            problem = self.mismatch(launch)  # would read or write foreign memory
            if problem is not None:
                raise RuntimeError(problem)
            function = self.compiled(device)
            found = started(function, launch)
        except (RuntimeError, OSError) as error:
            _logger.warning("%s runs as separate operations: %s", self.name, str(error).splitlines()[0])
            return expected
        if self.agrees(found, expected):
            self._functions[device] = function
        else:
            _logger.warning("%s runs as separate operations: its results differ", self.name)
        return expected


def _declared(name: str, source: str) -> tuple[str, ...]:
    """Return the types of the parameters of a CUDA function; raises TypeError if the source does not define it."""
    found = re.search(rf'extern "C" __global__ void {name}\(([^)]*)\)', source)
    if found is None:
        raise TypeError(f'{name}: the source does not define extern "C" __global__ void {name}(...)')
    return tuple(re.sub(r"\s*\w+$", "", one.strip()).removeprefix("const ") for one in found.group(1).split(","))


def started(function: CompiledFunction, launch: Launch) -> Results:
    """Start a call, and return its outputs."""
    function(launch.num_blocks, launch.num_threads, launch.arguments)
    return launch.outputs if len(launch.outputs) > 1 else launch.outputs[0]


def blocks_for(count: int, num_threads: int = 256) -> int:
    """Return the number of blocks for `count` elements, of which each thread takes one or, of very many, several."""
    return min(max(-(-count // num_threads), 1), MAX_BLOCKS)


def agree(found: Results, expected: Results, *, tolerance: float, flips: float) -> bool:
    """Return whether two results are equal within a tolerance, see `CudaKernel`."""
    pairs = zip(_listed(found), _listed(expected), strict=True)
    return all(_agree(ours, theirs, tolerance, flips) for ours, theirs in pairs)


def _agree(found: Tensor, expected: Tensor, tolerance: float, flips: float) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if found.dtype.is_floating_point:
        return torch.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    return not found.numel() or float((found != expected).float().mean()) <= flips


def _listed(results: Results) -> tuple[Tensor, ...]:
    return (results,) if isinstance(results, Tensor) else tuple(results)
