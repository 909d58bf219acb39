"""ONNX Runtime sessions: opened without log output, on the requested device or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as states

from streamseg.errors import EngineError, WeightsError
from streamseg.paths import cache_folder

__all__ = ["RUN_ERRORS", "open_session", "quiet"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}

_BROKEN_FILE = (states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented)
_BROKEN_DEVICE = (states.EPFail, states.Fail, states.RuntimeException, RuntimeError)

RUN_ERRORS = (states.InvalidArgument, states.Fail, states.RuntimeException, states.NotImplemented)
"""Exceptions raised by a session for arrays that its graph turns out not to support."""

_SEVERITY_WARNING, _SEVERITY_FATAL = 2, 4


def open_session(
    graph: bytes, *, path: str | Path, device: str = "cpu", num_threads: int | None = None
) -> onnxruntime.InferenceSession:
    """Load a graph onto a device.

    Args:
        graph: contents of the .onnx file.
        path: source of the graph, for error messages.
        device: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
        num_threads: number of CPU threads; None for as many as torch uses.

    Raises:
        WeightsError: the contents are not a graph, or ONNX Runtime lacks one of its operators.
        EngineError: ONNX Runtime cannot use the device.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or torch.get_num_threads()
    # Waiting threads sleep: spinning threads would take cores from capture and tracking and, on a busy machine, from
    # each other (330 ms for a run of 180 ms).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = _providers(device)
    with quiet():
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
        except (*_BROKEN_FILE, *_BROKEN_DEVICE) as error:
            reason = str(error).strip().splitlines()[0]
            if device == "cpu" or isinstance(error, _BROKEN_FILE):
                raise WeightsError(f"{path} is not a usable ONNX graph: {reason}") from error
            raise EngineError(f"ONNX Runtime cannot use device {device!r}: {reason}") from error
    if session.get_providers()[0] != providers[0][0]:
        raise EngineError(
            f"ONNX Runtime cannot use device {device!r} and would fall back to {session.get_providers()[0]}; "
            "install the CUDA libraries listed in its documentation, or use device cpu"
        )
    return session


def _providers(device: str) -> list[tuple[str, dict[str, Any]]]:
    kind, _, index = device.partition(":")
    wanted = _PROVIDERS.get(kind)
    if wanted is None:
        raise EngineError(f"the onnx engine runs on {', '.join(_PROVIDERS)}, not on {device!r}")
    available = onnxruntime.get_available_providers()
    if wanted not in available:
        raise EngineError(
            f"this ONNX Runtime cannot use device {device!r} (available providers: {', '.join(available)}); "
            "install onnxruntime-gpu, or use device cpu"
        )
    if kind == "cpu":
        return [(wanted, {})]
    device_id = int(index or 0)
    # HEURISTIC: an exhaustive search would be repeated for every new input shape.
    cuda = (_PROVIDERS["cuda"], {"device_id": device_id, "cudnn_conv_algo_search": "HEURISTIC"})
    if kind == "cuda":
        return [cuda]
    kept = cache_folder() / "tensorrt"
    tensorrt = {"device_id": device_id, "trt_engine_cache_enable": True, "trt_engine_cache_path": str(kept)}
    return [(wanted, tensorrt), cuda]


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress log output of ONNX Runtime about faults that raise an error or are checked anyway."""
    onnxruntime.set_default_logger_severity(_SEVERITY_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_SEVERITY_WARNING)
