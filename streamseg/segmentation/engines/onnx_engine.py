"""Exported graphs in ONNX Runtime: on the CPU, on CUDA, or through TensorRT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as states

from streamseg.errors import EngineError, WeightsError
from streamseg.segmentation.engines.engine import Raw, imgsz_of
from streamseg.segmentation.export import GRAPH_VERSION, OUTPUTS, cache_folder

__all__ = ["OnnxEngine"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}

_BROKEN_FILE = (states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented)
_BROKEN_DEVICE = (states.EPFail, states.Fail, states.RuntimeException, RuntimeError)

_SEVERITY_WARNING, _SEVERITY_FATAL = 2, 4


class OnnxEngine:
    """Runs a graph that `export_graph` wrote."""

    name = "onnx"

    def __init__(
        self, graph: bytes, *, path: str | Path = "graph", device: str = "cpu", num_threads: int | None = None
    ) -> None:
        """Load a graph.

        Args:
            graph: contents of the .onnx file.
            path: where they come from, for error messages.
            device: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`. TensorRT compiles the graph anew for each
                input shape, which takes minutes the first time; the results are kept in the cache folder.
            num_threads: on the CPU; None for as many as torch uses (the physical cores, or OMP_NUM_THREADS).

        Raises:
            WeightsError: the file is broken, or was not written by `streamseg export`.
            EngineError: ONNX Runtime cannot use the device.
        """
        self.device = device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or torch.get_num_threads()
        # Waiting threads sleep: those that spin take the cores from capture and tracking, and on a busy machine
        # from each other (330 ms for a run of 180 ms).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = _providers(device)
        with _quiet():
            try:
                session = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
            except (*_BROKEN_FILE, *_BROKEN_DEVICE) as error:
                reason = str(error).strip().splitlines()[0]
                if device == "cpu" or isinstance(error, _BROKEN_FILE):
                    raise WeightsError(f"{path} is not an ONNX graph that can be run: {reason}") from error
                raise EngineError(f"ONNX Runtime cannot use device {device!r}: {reason}") from error
        if session.get_providers()[0] != providers[0][0]:
            raise EngineError(
                f"ONNX Runtime cannot use device {device!r} here and offers {session.get_providers()[0]} instead; "
                "install the CUDA libraries that it names in its documentation, or use device cpu"
            )
        self.metadata = _checked_metadata(session, path)
        """What the file says about itself."""
        self.half = self.metadata["half"] == "true"
        self.imgsz = imgsz_of(self.metadata)
        self._session: onnxruntime.InferenceSession | None = session

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`. ONNX Runtime itself copies to the device and back, once each way."""
        if self._session is None:
            raise RuntimeError("this engine is closed")
        return Raw(*self._session.run(list(OUTPUTS), {"images": images}))

    def close(self) -> None:
        """See `Engine.close`."""
        self._session = None


def _providers(device: str) -> list[tuple[str, dict[str, Any]]]:
    kind, _, index = device.partition(":")
    wanted = _PROVIDERS.get(kind)
    if wanted is None:
        raise EngineError(f"the onnx engine runs on {', '.join(_PROVIDERS)}, not on {device!r}")
    available = onnxruntime.get_available_providers()
    if wanted not in available:
        raise EngineError(
            f"this ONNX Runtime cannot use device {device!r} (it has {', '.join(available)}); "
            "install onnxruntime-gpu, or use device cpu"
        )
    if kind == "cpu":
        return [(wanted, {})]
    device_id = int(index or 0)
    # HEURISTIC: an exhaustive search would start again with every new input shape.
    cuda = (_PROVIDERS["cuda"], {"device_id": device_id, "cudnn_conv_algo_search": "HEURISTIC"})
    if kind == "cuda":
        return [cuda]
    kept = cache_folder() / "tensorrt"
    tensorrt = {"device_id": device_id, "trt_engine_cache_enable": True, "trt_engine_cache_path": str(kept)}
    return [(wanted, tensorrt), cuda]


def _checked_metadata(session: onnxruntime.InferenceSession, path: str | Path) -> dict[str, str]:
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    version = metadata.get("streamseg_graph")
    if version == GRAPH_VERSION:
        return metadata
    inputs = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in session.get_inputs())
    found = f"its graph is of version {version}" if version else f"it was written by another program (inputs: {inputs})"
    raise WeightsError(
        f"{path} does not fit: {found}; needed is a graph of version {GRAPH_VERSION} that takes "
        "images uint8 (batch, height, width, 3), as written by `streamseg export --format onnx`"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime from writing pages about a missing provider; the outcome is checked instead."""
    onnxruntime.set_default_logger_severity(_SEVERITY_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_SEVERITY_WARNING)
