"""The shared libraries that ONNX Runtime needs for a GPU, and which of them are missing."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Final

import onnxruntime

__all__ = ["cuda_mismatch", "missing_libraries", "provider_library", "remedy"]

LDD_SECONDS: Final = 10.0


def provider_library(kind: str) -> Path:
    """Return the path of the library of a provider, `cuda` or `tensorrt`; builds without it have no such file."""
    return Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{kind}.so"


def missing_libraries(path: Path) -> list[str]:
    """Return the names of the libraries that a shared library needs and that cannot be loaded.

    Libraries that this process has loaded already, such as those that torch brings along, count as found.

    Raises:
        OSError, SubprocessError: ldd cannot be run.
    """
    command = ["ldd", str(path)]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=LDD_SECONDS, check=True).stdout
    names = [line.split()[0] for line in listed.splitlines() if line.rstrip().endswith("not found")]
    return [name for name in names if not _can_load(name)]


def remedy(missing: list[str]) -> str:
    """Return what to install for missing libraries."""
    if missing == ["libcuda.so.1"]:
        return "the driver of the GPU"
    packages = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    return packages + " tensorrt" if any(name.startswith("libnvinfer") for name in missing) else packages


def cuda_mismatch(missing: list[str], torch_cuda: str | None) -> str | None:
    """Return how the CUDA versions of ONNX Runtime and torch differ, None if they fit or are unknown.

    Libraries of one major version do not serve a program that was built for another.

    Args:
        missing: names of libraries that ONNX Runtime needs, such as `libcublas.so.13`.
        torch_cuda: CUDA version that torch is built for, such as `12.8`; None for a CPU build.
    """
    needed = next((name.rpartition(".")[2] for name in missing if name.startswith("libcublas.so.")), None)
    if needed is None or torch_cuda is None or torch_cuda.partition(".")[0] == needed:
        return None
    return (
        f"onnxruntime needs CUDA {needed}, torch is built for {torch_cuda}; install both for one version, "
        f"torch from https://download.pytorch.org/whl/cu{needed}0"
    )


def _can_load(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
