"""Tensors that stay on the device that computed them until somebody needs their values on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["LazyTensor"]

_WITHOUT_VALUES = {
    getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "layout", "requires_grad")
} | {Tensor.size, Tensor.dim, Tensor.__len__, Tensor.is_floating_point, Tensor.numel}


class LazyTensor(Tensor):
    """A float32 tensor on the host whose values are fetched on first use.

    Shape, type and device are known without them. Any other operation of torch, `numpy()` included, fetches them once.
    """

    def __new__(cls, shape: tuple[int, ...], fetch: Callable[[], Tensor]) -> Self:
        """Create a tensor of a shape; `fetch` returns its values, once, in the thread that needs them first."""
        # One number in memory, which stands for all; it is never read.
        return torch.full((), torch.nan).expand(shape).as_subclass(cls)

    def __init__(self, shape: tuple[int, ...], fetch: Callable[[], Tensor]) -> None:
        super().__init__()
        self._source = fetch
        self._on_host: Tensor | None = None

    @property
    def is_fetched(self) -> bool:
        """Whether the values are on the host."""
        return self._on_host is not None

    def values_on_host(self) -> Tensor:
        """Return the values as a usual tensor."""
        if self._on_host is None:
            self._on_host = self._source()
        return self._on_host

    def rows(self, choose: Callable[[Tensor], Tensor], count: int) -> LazyTensor:
        """Return `count` rows of the first axis that `choose` selects, still not fetched."""
        return LazyTensor((count, *self.shape[1:]), lambda: choose(self.values_on_host()))

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation of torch on the values, or without them if it needs none."""
        if func in _WITHOUT_VALUES:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        return func(*_on_host(args), **{name: _on_host(value) for name, value in (kwargs or {}).items()})


def _on_host(value: Any) -> Any:
    """Replace lazy tensors in arguments by their values."""
    if isinstance(value, LazyTensor):
        return value.values_on_host()
    if isinstance(value, tuple | list):
        return type(value)(_on_host(one) for one in value)
    return value
