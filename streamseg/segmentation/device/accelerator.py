"""What batches in flight need from a device: buffers, copies that do not block, and a step that is launched at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor

__all__ = ["Accelerator", "CpuAccelerator", "CudaAccelerator", "Step", "open_accelerator"]

Step = Callable[[], tuple[Tensor, ...]]
"""Work on buffers that stay where they are; returns its results."""

WARMUPS: Final = 3
"""Runs before a graph is captured. Libraries choose kernels and allocate workspaces in the first ones, which a capture
does not permit."""


class Accelerator(Protocol):
    """A queue of work on one device, in order; used by one thread at a time."""

    device: torch.device

    def host_buffer(self, num_bytes: int) -> Tensor:
        """Return a new buffer uint8 (num_bytes,) on the host, suited for copies."""

    def upload(self, source: Tensor, target: Tensor) -> None:
        """Start to copy a host buffer to the device; it may be written again once the next `download` has ended."""

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Start to copy a tensor that another thread has made, on the device."""

    def compiled(self, step: Step) -> Step:
        """Return a function that does the same as `step`, faster, and returns the same tensors each time.

        Args:
            step: work on buffers that stay where they are; called here, several times.
        """

    def run(self, step: Step) -> tuple[Tensor, ...]:
        """Start a step that is not compiled."""

    def keep(self, values: Tensor) -> Tensor:
        """Start to copy a result of a step on the device, so that it outlives the next run."""

    def download(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        """Start to copy a device buffer to the host, and return a function that waits for the copy."""

    def close(self) -> None:
        """Wait for all work."""


class CpuAccelerator:
    """The CPU, where everything is done at once: for tests, and to try the path without a GPU."""

    device = torch.device("cpu")

    def host_buffer(self, num_bytes: int) -> Tensor:
        """See `Accelerator.host_buffer`."""
        return torch.zeros(num_bytes, dtype=torch.uint8)

    def upload(self, source: Tensor, target: Tensor) -> None:
        """See `Accelerator.upload`."""
        target.copy_(source)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """See `Accelerator.copy`."""
        target.copy_(source)

    def compiled(self, step: Step) -> Step:
        """See `Accelerator.compiled`."""
        return step

    def run(self, step: Step) -> tuple[Tensor, ...]:
        """See `Accelerator.run`."""
        return step()

    def keep(self, values: Tensor) -> Tensor:
        """See `Accelerator.keep`. Each run has results of its own."""
        return values

    def download(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        """See `Accelerator.download`."""
        target.copy_(source)
        return lambda: None

    def close(self) -> None:
        """See `Accelerator.close`."""


class CudaAccelerator:
    """A CUDA GPU: one stream, pinned host buffers, and each step as a CUDA graph.

    A graph is launched in one call. Eager dispatch of some 500 kernels takes 24 ms of Python for size x, and 85 ms if
    another thread competes for the interpreter lock.
    """

    def __init__(self, device: torch.device, *, graphs: bool = True) -> None:
        self.device = device
        self._graphs = graphs
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # One pool for all graphs: they run in order on one stream, so that they can share their intermediate memory.
        self._pool = torch.cuda.graph_pool_handle()

    def host_buffer(self, num_bytes: int) -> Tensor:
        """See `Accelerator.host_buffer`."""
        with torch.cuda.device(self.device):  # or pinning opens a context on GPU 0
            return torch.zeros(num_bytes, dtype=torch.uint8, pin_memory=True)

    def upload(self, source: Tensor, target: Tensor) -> None:
        """See `Accelerator.upload`."""
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """See `Accelerator.copy`. The source's memory may be reused after the copy only."""
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        if source.device.type == "cuda":
            source.record_stream(self._stream)

    def compiled(self, step: Step) -> Step:
        """See `Accelerator.compiled`."""
        if not self._graphs:
            return lambda: self.run(step)
        # Buffers were filled on the default stream.
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            for _ in range(WARMUPS):
                step()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # `thread_local`: other threads may use CUDA during the capture, for example to pin memory.
        with (
            torch.cuda.device(self.device),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
        ):
            output = step()

        def replay() -> tuple[Tensor, ...]:
            with torch.cuda.stream(self._stream):
                graph.replay()
            return output

        return replay

    def run(self, step: Step) -> tuple[Tensor, ...]:
        """See `Accelerator.run`."""
        # Buffers and constants were filled on the default stream.
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            return step()

    def keep(self, values: Tensor) -> Tensor:
        """See `Accelerator.keep`. The memory belongs to the stream, so that a later step cannot use it too early."""
        with torch.cuda.stream(self._stream):
            return values.clone()

    def download(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        """See `Accelerator.download`."""
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # the waiting thread sleeps
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            copied.record(self._stream)
        return copied.synchronize

    def close(self) -> None:
        """See `Accelerator.close`."""
        self._stream.synchronize()


def open_accelerator(device: str, *, graphs: bool = True) -> Accelerator:
    """Return the accelerator of a device, `cpu` or `cuda:N`; without graphs, operations are launched one by one."""
    return CudaAccelerator(torch.device(device), graphs=graphs) if device.startswith("cuda") else CpuAccelerator()
