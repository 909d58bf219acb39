"""Memory of the GPUs that this process uses."""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["GpuMemory", "gpu_memory"]


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU, in bytes."""

    device: str
    """Such as `cuda:0`."""
    used: int
    """Used by all processes."""
    total: int
    allocated: int
    """Allocated by torch in this process; ONNX Runtime's memory counts in `used` only."""


def gpu_memory() -> list[GpuMemory]:
    """Return the memory of each GPU; empty if torch is not loaded, or CUDA is not in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(GpuMemory(f"cuda:{index}", total - free, total, torch.cuda.memory_allocated(index)))
    return found
