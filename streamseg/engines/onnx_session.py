"""ONNX Runtime sessions: opened without log output, on the requested device or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as states

from streamseg.engines.layouts import exported_in_half
from streamseg.engines.onnx_providers import PROVIDERS, GraphInput, provider_options
from streamseg.engines.shared_libraries import missing_libraries, provider_library, remedy
from streamseg.errors import EngineError, WeightsError
from streamseg.paths import cache_folder

__all__ = ["RUN_ERRORS", "open_session", "quiet"]

_BROKEN_FILE = (states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented)
_BROKEN_DEVICE = (states.EPFail, states.Fail, states.RuntimeException, RuntimeError)

RUN_ERRORS = (states.InvalidArgument, states.Fail, states.RuntimeException, states.NotImplemented)
"""Exceptions raised by a session for arrays that its graph turns out not to support."""

_SEVERITY_WARNING, _SEVERITY_FATAL = 2, 4


def open_session(
    graph: bytes | str,
    *,
    path: str | Path,
    device: str = "cpu",
    num_threads: int | None = None,
    stream: int | None = None,
) -> onnxruntime.InferenceSession:
    """Load a graph onto a device.

    Args:
        graph: contents of the .onnx file; or its path, if its weights lie in a file beside it.
        path: source of the graph, for error messages.
        device: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
        num_threads: number of CPU threads; None for as many as torch uses.
        stream: CUDA stream to compute on, as an address; None for one of ONNX Runtime's own.

    Raises:
        WeightsError: the contents are not a graph, or ONNX Runtime lacks one of its operators.
        EngineError: ONNX Runtime cannot use the device.
    """
    _check_available(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or torch.get_num_threads()
    # Waiting threads sleep: spinning threads would take cores from capture and tracking and, on a busy machine, from
    # each other (330 ms for a run of 180 ms).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with quiet():
        try:
            providers = _providers(graph, device, options, stream)
            session = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
        except (*_BROKEN_FILE, *_BROKEN_DEVICE) as error:
            reason = str(error).strip().splitlines()[0]
            if device == "cpu" or isinstance(error, _BROKEN_FILE):
                raise WeightsError(f"{path} is not a usable ONNX graph: {reason}") from error
            raise EngineError(f"ONNX Runtime cannot use device {device!r}: {reason}; {_missing(device)}") from error
    if session.get_providers()[0] != providers[0][0]:
        raise EngineError(
            f"ONNX Runtime cannot use device {device!r} and would fall back to {session.get_providers()[0]}; "
            f"{_missing(device)}"
        )
    return session


def _check_available(device: str) -> None:
    wanted, available = provider_options(device, cache=cache_folder())[0][0], onnxruntime.get_available_providers()
    if wanted not in available:
        raise EngineError(
            f"this ONNX Runtime cannot use device {device!r} (available providers: {', '.join(available)}); "
            "install onnxruntime-gpu, or use device cpu"
        )


def _providers(
    graph: bytes | str, device: str, options: onnxruntime.SessionOptions, stream: int | None
) -> list[tuple[str, dict[str, Any]]]:
    cache = cache_folder() / "tensorrt"
    if not device.startswith("tensorrt"):
        return provider_options(device, cache=cache, stream=stream)
    plain = onnxruntime.InferenceSession(graph, options, providers=[PROVIDERS["cpu"]])
    return provider_options(device, cache=cache, half=_computes_in_half(plain), images=_images(plain))


def _computes_in_half(session: onnxruntime.InferenceSession) -> bool:
    """Return whether a graph computes in half precision, by its metadata and the types of its inputs and outputs."""
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    types = {port.type for port in (*session.get_inputs(), *session.get_outputs())}
    return metadata.get("half") == "true" or "tensor(float16)" in types or exported_in_half(metadata)


def _images(session: onnxruntime.InferenceSession) -> GraphInput:
    port = session.get_inputs()[0]
    return GraphInput(port.name, tuple(axis if isinstance(axis, int) else None for axis in port.shape))


def _missing(device: str) -> str:
    """Return what ONNX Runtime lacks for a device, as the end of an error message."""
    kind = device.partition(":")[0]
    try:
        missing = missing_libraries(provider_library(kind))
    except (OSError, subprocess.SubprocessError):  # no ldd, or no such file
        missing = []
    if not missing:
        return "install the CUDA libraries listed in its documentation, or use device cpu"
    return f"missing {', '.join(missing)}; for a GPU: {remedy(missing)}; otherwise use device cpu"


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress log output of ONNX Runtime about faults that raise an error or are checked anyway."""
    onnxruntime.set_default_logger_severity(_SEVERITY_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_SEVERITY_WARNING)
