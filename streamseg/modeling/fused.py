"""Elementwise functions of several tensors as one kernel on CUDA.

Eager torch launches a kernel per operation: a convolution's bias and its activation take two, an IoU matrix 23. The
`jiterator` of PyTorch compiles an elementwise function at run time with NVRTC, which its CUDA builds include: no
compiler has to be installed. On other devices, and if the first result differs from the reference's or cannot be
computed, the reference runs. The CUDA sources have been compiled by a host compiler only; they never ran on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from streamseg.geometry import box_iou

__all__ = ["FusedOperation", "biased_leaky_relu", "biased_silu", "fused_iou"]

_logger = logging.getLogger(__name__)
_library = torch.library.Library("streamseg", "DEF")  # type: ignore[no-untyped-call]  # as long as the process


class FusedOperation:
    """An elementwise function of up to 8 tensors that broadcast against each other.

    Args:
        name: unique name; the CUDA function has it, too.
        num_inputs: number of tensors.
        source: definition of the CUDA function, `template <typename T> T name(T a, ...)`.
        reference: the same in torch.
        tolerance: largest relative difference from the reference, and a hundredth of it absolute; 0: equal.
    """

    def __init__(
        self, name: str, num_inputs: int, source: str, reference: Callable[..., Tensor], *, tolerance: float = 0.0
    ) -> None:
        self._name, self._source, self._reference, self._tolerance = name, source, reference, tolerance
        self._kernel: Callable[..., Tensor] | None = None
        self._is_checked = False
        _library.define(f"{name}({', '.join(f'Tensor a{number}' for number in range(num_inputs))}) -> Tensor")  # type: ignore[no-untyped-call]
        _library.impl(name, reference, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        _library.impl(name, self.on_cuda, "CUDA")  # type: ignore[no-untyped-call]
        self._operation: Callable[..., Tensor] = getattr(torch.ops.streamseg, name)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Compute the function where the tensors are."""
        return self._operation(*inputs)

    def on_cuda(self, *inputs: Tensor) -> Tensor:
        """Compute the function in one kernel, or by the reference if the first result was not that of the reference.

        The first call waits for the GPU, so that it must not happen while a graph is captured.
        """
        if not self._is_checked:
            self._is_checked = True
            return self._checked(inputs)
        return self._reference(*inputs) if self._kernel is None else self._kernel(*inputs)

    def compiled(self) -> Callable[..., Tensor]:
        """Return the compiled function; raises RuntimeError if the source cannot be compiled, at its first call."""
        kernel: Callable[..., Tensor] = torch.cuda.jiterator._create_jit_fn(self._source)
        return kernel

    def _checked(self, inputs: tuple[Tensor, ...]) -> Tensor:
        expected = self._reference(*inputs)
        try:
            kernel = self.compiled()
            found = kernel(*inputs)
        except RuntimeError as error:
            _logger.warning("%s runs unfused: %s", self._name, str(error).splitlines()[0])
            return expected
        if torch.allclose(found, expected, rtol=self._tolerance, atol=self._tolerance / 100, equal_nan=True):
            self._kernel = kernel
        else:
            _logger.warning("%s runs unfused: its results differ", self._name)
        return expected


def _silu(values: Tensor, bias: Tensor) -> Tensor:
    return torch.nn.functional.silu(values + bias)


def _leaky_relu(values: Tensor, bias: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(values + bias, 0.1)


biased_silu = FusedOperation(
    "biased_silu",
    2,
    """template <typename T> T biased_silu(T x, T b) {
        const float y = static_cast<float>(x) + static_cast<float>(b);
        return static_cast<T>(y / (1.0f + expf(-y)));
    }""",
    _silu,
    tolerance=1e-2,  # in half precision, the reference rounds the sum as well
)
"""SiLU of values (B, C, H, W) plus a bias (C, 1, 1)."""

biased_leaky_relu = FusedOperation(
    "biased_leaky_relu",
    2,
    """template <typename T> T biased_leaky_relu(T x, T b) {
        const float y = static_cast<float>(x) + static_cast<float>(b);
        return static_cast<T>(y > 0.0f ? y : 0.1f * y);
    }""",
    _leaky_relu,
    tolerance=1e-2,
)
"""LeakyReLU with slope 0.1 of values (B, C, H, W) plus a bias (C, 1, 1)."""


def _iou_of_sides(*sides: Tensor) -> Tensor:
    boxes_a, boxes_b = torch.cat(sides[:4], dim=-1), torch.cat([side.mT for side in sides[4:]], dim=-1)
    return box_iou(boxes_a, boxes_b)


_iou = FusedOperation(
    "box_iou",
    8,
    # Products and sums are rounded one by one, as in torch: a fused multiply-add would change the last bit.
    """template <typename T> T box_iou(T a, T b, T c, T d, T e, T f, T g, T h) {
        const T width = fmaxf(__fsub_rn(fminf(c, g), fmaxf(a, e)), 0.0f);
        const T height = fmaxf(__fsub_rn(fminf(d, h), fmaxf(b, f)), 0.0f);
        const T shared = __fmul_rn(width, height);
        const T first = __fmul_rn(fmaxf(__fsub_rn(c, a), 0.0f), fmaxf(__fsub_rn(d, b), 0.0f));
        const T second = __fmul_rn(fmaxf(__fsub_rn(g, e), 0.0f), fmaxf(__fsub_rn(h, f), 0.0f));
        return __fdiv_rn(shared, fmaxf(__fsub_rn(__fadd_rn(first, second), shared), 1.17549435e-38f));
    }""",
    _iou_of_sides,
)


def fused_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the IoU (..., N, M) of boxes float32 (..., N, 4) and (..., M, 4) xyxy, as `geometry.box_iou`."""
    return _iou(*torch.split(boxes_a, 1, dim=-1), *(side.mT for side in torch.split(boxes_b, 1, dim=-1)))
