"""Exported graphs in ONNX Runtime: on the CPU, on CUDA, or through TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from streamseg.engines.cuda import cuda_state
from streamseg.engines.engine import Raw
from streamseg.engines.export import EMBEDDINGS, OUTPUTS
from streamseg.engines.onnx_binding import BoundSession
from streamseg.engines.onnx_providers import MAX_BATCH, MAX_SIDE
from streamseg.engines.onnx_session import RUN_ERRORS, open_session
from streamseg.engines.own_graph import is_own, read_properties
from streamseg.engines.third_party import ThirdPartyGraph
from streamseg.errors import EngineError
from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.refiner import Refiner

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """A graph written by `export_graph`, or a third-party graph of the form of YOLOv8-seg, in ONNX Runtime."""

    name = "onnx"

    def __init__(
        self, graph: bytes, *, path: str | Path = "graph", device: str = "cpu", num_threads: int | None = None
    ) -> None:
        """Load a graph.

        Args:
            graph: contents of the .onnx file.
            path: source of the graph, for error messages.
            device: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`. TensorRT compiles the graph for each new input
                shape, which takes minutes the first time; the results are stored in the cache folder.
            num_threads: number of CPU threads; None for as many as torch uses (the physical cores, or
                OMP_NUM_THREADS).

        Raises:
            WeightsError: the file is broken, or its graph has an unsupported form.
            EngineError: ONNX Runtime cannot use the device.
        """
        self.device = device
        stream = _stream(device)
        address = None if stream is None else int(stream.cuda_stream)
        session = open_session(graph, path=path, device=device, num_threads=num_threads, stream=address)
        self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        """Metadata of the file."""
        self.input_size: tuple[int, int] | None = None
        self.max_batch: int | None = MAX_BATCH if device.startswith("tensorrt") else None
        self.refiner: Refiner | None = None
        """Mask refiner, on the CPU even for TensorRT and CUDA, because its input is already on the host."""
        self.suppression: NmsSettings | None = None
        self._third_party: ThirdPartyGraph | None = None
        self._bound: BoundSession | None = None
        has_embeddings = any(output.name == EMBEDDINGS for output in session.get_outputs())
        self._outputs = (*OUTPUTS, EMBEDDINGS) if has_embeddings else OUTPUTS
        if is_own(self.metadata, path):
            num_masks = next(output.shape[2] for output in session.get_outputs() if output.name == OUTPUTS[2])
            properties = read_properties(self.metadata, num_masks=num_masks, path=path)
            self.half, self.imgsz = properties.half, properties.imgsz
            self.suppression, self.refiner = properties.suppression, properties.refiner
            if stream is not None and self.suppression is None:
                self._bound = BoundSession(session, torch.device(device), stream)
        else:
            self._third_party = ThirdPartyGraph(
                session,
                path=path,
                # TensorRT would compile for minutes, only to report some shapes.
                trial=lambda: session if device == "cpu" else open_session(graph, path=path, num_threads=num_threads),
            )
            self.half, self.imgsz = self._third_party.half, self._third_party.imgsz
            layout = self._third_party.layout
            self.input_size, self.max_batch = layout.input_size, layout.max_batch or self.max_batch
        self._session: onnxruntime.InferenceSession | None = session

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`. On CUDA, torch's pinned memory serves the copies, if torch can use the GPU, too."""
        if self._session is None:
            raise RuntimeError("this engine is closed")
        if self._third_party is not None:
            return self._third_party.run(self._session, images)
        # Do not compute the whole masks, an additional output of graphs with built-in suppression.
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = self.suppression is not None
        try:
            if self._bound is not None:
                return self._bound.run(images)
            return Raw(*self._session.run(list(self._outputs), {"images": images}, options))
        except RUN_ERRORS as error:
            limits = f" (TensorRT: sides up to {MAX_SIDE} pixels)" if self.device.startswith("tensorrt") else ""
            raise EngineError(
                f"ONNX Runtime cannot run images {images.shape} on {self.device}{limits}: {str(error).splitlines()[0]}"
            ) from error

    def close(self) -> None:
        """See `Engine.close`."""
        self._session = self._bound = None


def _stream(device: str) -> Any:
    """Return a new stream of torch on a GPU; None on other devices, and if torch cannot use the GPU."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or cuda_state().problem(int(index or 0)) is not None:
        return None
    return torch.cuda.Stream(torch.device(device))  # type: ignore[no-untyped-call]
