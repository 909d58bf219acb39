"""Compile CUDA functions at run time with NVRTC, which torch's CUDA builds include: no compiler has to be installed.

torch has a function for this, but it needs the headers of an installed CUDA toolkit. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch

__all__ = ["CompiledFunction", "compile_function", "compile_source", "find_library"]

CompiledFunction = Callable[[int, int, Sequence[Any]], None]
"""Starts a function on torch's current stream: number of blocks, threads per block, arguments. Tensors are passed as
pointers, integers as `int`, floats as `double`."""

_OPTIONS: Final = ("--std=c++17", "--fmad=false")
"""No fused multiply-add: products and sums are rounded one by one, as by separate kernels."""


def compile_function(source: str, name: str, device: torch.device) -> CompiledFunction:
    """Compile `extern "C" __global__ void name(...)` for a GPU.

    Raises:
        RuntimeError: the source is wrong, or this build of torch cannot load compiled functions.
        OSError: NVRTC is missing.
    """
    from torch.cuda import _utils as cuda_utils

    if not hasattr(cuda_utils, "_cuda_load_module"):
        raise RuntimeError(f"torch {torch.__version__} cannot load CUDA functions; use 2.8 or newer")
    major, minor = torch.cuda.get_device_capability(device)
    binary = compile_source(find_library(str(torch.version.cuda)), source, name, f"sm_{major}{minor}")
    with torch.cuda.device(device):
        function = cuda_utils._cuda_load_module(binary, [name])[name]  # type: ignore[index]

    def start(num_blocks: int, num_threads: int, arguments: Sequence[Any]) -> None:
        with torch.cuda.device(device):
            function(grid=(num_blocks, 1, 1), block=(num_threads, 1, 1), args=list(arguments))

    return start


def compile_source(library: Any, source: str, name: str, architecture: str) -> bytes:
    """Return the machine code of a source for an architecture such as `sm_86`.

    Args:
        library: NVRTC, see `find_library`.
        source: CUDA C++ without includes.
        name: name for error messages.
        architecture: the architecture.

    Raises:
        RuntimeError: the source is wrong, or NVRTC does not know the architecture.
    """
    program = ctypes.c_void_p()
    _check(
        library,
        library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), f"{name}.cu".encode(), 0, None, None),
    )
    try:
        options = [option.encode() for option in (f"--gpu-architecture={architecture}", *_OPTIONS)]
        status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        if status:
            size = ctypes.c_size_t()
            _check(library, library.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(max(size.value, 1))
            _check(library, library.nvrtcGetProgramLog(program, log))
            raise RuntimeError(log.value.decode(errors="replace").strip() or _message(library, status))
        size = ctypes.c_size_t()
        _check(library, library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        binary = ctypes.create_string_buffer(size.value)
        _check(library, library.nvrtcGetCUBIN(program, binary))
        return binary.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def find_library(cuda: str, site: Path | None = None) -> ctypes.CDLL:
    """Load NVRTC of a CUDA version such as `13.0`: that of the system or of torch's packages.

    Raises:
        OSError: it is not installed; the message names it.
    """
    name = f"libnvrtc.so.{cuda.partition('.')[0]}"
    folder = Path(sysconfig.get_path("purelib")) / "nvidia" if site is None else site
    for path in (name, *map(str, sorted(folder.glob(f"*/lib/{name}")))):
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise OSError(f"{name} is missing; install the CUDA packages of torch")


def _check(library: Any, status: int) -> None:
    if status:
        raise RuntimeError(_message(library, status))


def _message(library: Any, status: int) -> str:
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    text: bytes = library.nvrtcGetErrorString(status)
    return f"NVRTC: {text.decode(errors='replace')}"
