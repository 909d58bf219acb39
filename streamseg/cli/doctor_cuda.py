"""The finding about the shared libraries that ONNX Runtime needs for CUDA."""

from __future__ import annotations

import subprocess

from streamseg.cli.findings import Finding

__all__ = ["cuda_libraries"]


def cuda_libraries() -> Finding:
    """Check the libraries of ONNX Runtime's CUDA provider. Never raises."""
    name = "ONNX CUDA libs"
    try:
        import torch

        from streamseg.engines.shared_libraries import cuda_mismatch, missing_libraries, provider_library, remedy
    except (ImportError, OSError) as error:
        return Finding(name, "absent", str(error).splitlines()[0])
    provider = provider_library("cuda")
    if not provider.is_file():
        return Finding(name, "absent", "this onnxruntime is built without CUDA; for a GPU: pip install onnxruntime-gpu")
    try:
        missing = missing_libraries(provider)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, "absent", f"unknown: ldd cannot be run ({error})")
    if not missing:
        return Finding(name, "ok", "all found")
    cure = cuda_mismatch(missing, torch.version.cuda) or f"for a GPU: {remedy(missing)}"
    return Finding(name, "absent", f"missing {', '.join(missing)}; {cure}")
