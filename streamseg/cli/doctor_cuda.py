"""The shared libraries that ONNX Runtime needs for CUDA, and which of them are missing."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Final

from streamseg.cli.findings import Finding

__all__ = ["cuda_libraries", "missing_libraries"]

PROVIDER: Final = "libonnxruntime_providers_cuda.so"
LDD_SECONDS: Final = 10.0


def cuda_libraries() -> Finding:
    """Check the libraries of ONNX Runtime's CUDA provider. Never raises."""
    name = "ONNX CUDA libs"
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        return Finding(name, "absent", str(error).splitlines()[0])
    provider = Path(onnxruntime.__file__).parent / "capi" / PROVIDER
    if not provider.is_file():
        return Finding(name, "absent", "this onnxruntime is built without CUDA; for a GPU: pip install onnxruntime-gpu")
    try:
        missing = missing_libraries(provider)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, "absent", f"unknown: ldd cannot be run ({error})")
    if not missing:
        return Finding(name, "ok", "all found")
    hint = "the driver of the GPU" if missing == ["libcuda.so.1"] else "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    return Finding(name, "absent", f"missing {', '.join(missing)}; for a GPU: {hint}")


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


def _can_load(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
