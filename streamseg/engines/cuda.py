"""The CUDA GPUs that torch can use, why it cannot use others, and the precision of float32 on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

__all__ = ["CudaState", "cuda_state", "disable_tf32"]

_DRIVER: Final = Path("/proc/driver/nvidia/version")
"""Exists if the kernel module of an NVIDIA GPU is loaded."""


@dataclass(frozen=True)
class CudaState:
    """What torch and the machine provide."""

    built_for: str | None
    """CUDA version that torch is built for; None for a CPU build."""
    architectures: tuple[str, ...]
    """Architectures that torch contains kernels for, such as `sm_86`; PTX such as `compute_90` suits later ones."""
    capabilities: tuple[tuple[int, int], ...]
    """Compute capability (major, minor) of each GPU that torch finds."""
    has_driver: bool
    """Whether a driver of NVIDIA GPUs is loaded."""

    def problem(self, index: int) -> str | None:
        """Return why GPU `index` cannot be used, as one line; None if it can."""
        if self.built_for is None:
            return "torch is a CPU build; install a CUDA build"
        if not self.capabilities:
            if self.has_driver:
                return (
                    f"the driver of the GPU is too old for CUDA {self.built_for}, for which torch is built; update it"
                )
            return "no driver of an NVIDIA GPU is loaded"
        if index >= len(self.capabilities):
            return f"torch finds {len(self.capabilities)} CUDA GPUs"
        if not self._supports(self.capabilities[index]):
            major, minor = self.capabilities[index]
            return (
                f"torch has no kernels for its architecture sm_{major}{minor}, only for "
                f"{', '.join(self.architectures)}; install another build"
            )
        return None

    def _supports(self, capability: tuple[int, int]) -> bool:
        """Return whether there are kernels for a GPU: of the same major version, or PTX of an earlier one."""
        for name in self.architectures:
            kind, _, digits = name.partition("_")
            version = digits.rstrip("af")
            built = int(version[:-1]), int(version[-1])
            if built <= capability and (kind == "compute" or built[0] == capability[0]):
                return True
        return False


def cuda_state() -> CudaState:
    """Query torch and the driver."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return CudaState(
        built_for=torch.version.cuda,
        architectures=tuple(torch.cuda.get_arch_list()) if found else (),
        capabilities=tuple(torch.cuda.get_device_capability(index) for index in range(found)),
        has_driver=_DRIVER.is_file(),
    )


def disable_tf32() -> None:
    """Compute float32 convolutions and products on CUDA in float32, in the whole process.

    By default, cuDNN rounds the inputs of convolutions to 10 mantissa bits (TF32). Emulated, this moves boxes by up to
    0.18 pixels and scores by up to 0.004. Half precision is not affected.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
