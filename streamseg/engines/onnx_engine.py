"""Exported graphs in ONNX Runtime: on the CPU, on CUDA, or through TensorRT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from streamseg.engines.engine import Raw, imgsz_of
from streamseg.engines.export import GRAPH_VERSION, OUTPUTS, REFINER, REFINER_GRAPH, SUPPRESSION
from streamseg.engines.onnx_refiner import open_refiner
from streamseg.engines.onnx_session import open_session
from streamseg.engines.third_party import ForeignGraph
from streamseg.errors import WeightsError
from streamseg.modeling.nms import Suppression, suppression_from_text
from streamseg.modeling.refiner import Refiner, refiner_from_text

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """Runs a graph that `export_graph` wrote, or one of YOLOv8-seg's form that another program did."""

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
            WeightsError: the file is broken, or its graph is not of a form that is known.
            EngineError: ONNX Runtime cannot use the device.
        """
        self.device = device
        session = open_session(graph, path=path, device=device, num_threads=num_threads)
        self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        """What the file says about itself."""
        self.input_size: tuple[int, int] | None = None
        self.max_batch: int | None = None
        self.refiner: Refiner | None = None
        """On the CPU for TensorRT and CUDA, too: its input is on the host already."""
        self.suppression: Suppression | None = None
        self._foreign: ForeignGraph | None = None
        if _is_own(self.metadata, path):
            self.half = self.metadata["half"] == "true"
            self.imgsz = imgsz_of(self.metadata)
            if SUPPRESSION in self.metadata:
                self.suppression = suppression_from_text(self.metadata[SUPPRESSION])
            if REFINER in self.metadata:
                num_masks = next(output.shape[2] for output in session.get_outputs() if output.name == OUTPUTS[2])
                self.refiner = refiner_from_text(self.metadata[REFINER], num_masks=num_masks)
            if self.refiner is not None and REFINER_GRAPH in self.metadata:
                self.refiner = open_refiner(self.refiner, self.metadata[REFINER_GRAPH], path=path)
        else:
            self._foreign = ForeignGraph(
                session,
                path=path,
                # TensorRT would compile for minutes, only to see some shapes.
                trial=lambda: session if device == "cpu" else open_session(graph, path=path, num_threads=num_threads),
            )
            self.half, self.imgsz = self._foreign.half, self._foreign.imgsz
            self.input_size, self.max_batch = self._foreign.layout.input_size, self._foreign.layout.max_batch
        self._session: onnxruntime.InferenceSession | None = session

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`. ONNX Runtime itself copies to the device and back, once each way."""
        if self._session is None:
            raise RuntimeError("this engine is closed")
        if self._foreign is not None:
            return self._foreign.run(self._session, images)
        # Whole masks, which graphs with suppression inside have, too, are not what is asked here.
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = self.suppression is not None
        return Raw(*self._session.run(list(OUTPUTS), {"images": images}, options))

    def close(self) -> None:
        """See `Engine.close`."""
        self._session = None


def _is_own(metadata: Mapping[str, str], path: str | Path) -> bool:
    version = metadata.get("streamseg_graph")
    if version not in (None, GRAPH_VERSION):
        raise WeightsError(
            f"{path} does not fit: its graph is of version {version}; needed is version {GRAPH_VERSION}, "
            "as written by `streamseg export --format onnx`"
        )
    return version is not None
