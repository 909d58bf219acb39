"""The shared libraries that ONNX Runtime needs for a GPU, and which of them are missing."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Final

import onnxruntime

__all__ = ["missing_libraries", "provider_library", "remedy"]

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


def _can_load(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
