"""The engines that are compared.

`torch` selects detections on the host. `eager` is `engine: device` without CUDA graphs, and `graph` with them.
`tensorrt` is `engine: tensorrt`, and `onnx` is ONNX Runtime on the device: both only if this machine has them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.gpu.cases import CONF, IOU, Case, seeded_refiner
from benchmarks.gpu.plan import Mode
from benchmarks.gpu.workers import Unavailable
from streamseg.engines import Engine
from streamseg.engines.export import export_graph
from streamseg.engines.tensorrt_engine import TensorRtEngine
from streamseg.engines.tensorrt_plan import build_plan, graph_for_tensorrt, load_tensorrt
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError
from streamseg.modeling.network import Network
from streamseg.segmentation import Segmenter

__all__ = ["OpenedEngine", "is_cuda", "open_engine", "segmenter_of"]


@dataclass(frozen=True)
class OpenedEngine:
    """An engine, and what it took to open it."""

    engine: Engine
    export_seconds: float | None = None
    """Time for writing the graph; None without one."""
    build_seconds: float | None = None
    """Time for building TensorRT's plan, for one batch size; None without one."""


def is_cuda(device: str) -> bool:
    """Return whether the device is a GPU; anything else is for trying the benchmark."""
    return device.startswith("cuda")


def open_engine(case: Case, mode: Mode, device: str, network: Network, *, half: bool) -> OpenedEngine:
    """Return the engine of a mode.

    Raises:
        Unavailable: the machine lacks TensorRT or ONNX Runtime, or its provider for the device.
    """
    if mode == "tensorrt":
        return _tensorrt(case, device, network, half=half)
    if mode == "onnx":
        return _onnx(device, network, half=half)
    selects, graphs, refiner = mode != "torch", mode == "graph", seeded_refiner(case)
    return OpenedEngine(
        TorchEngine(
            network, device=device, half=half, imgsz=case.imgsz, refiner=refiner, selects=selects, graphs=graphs
        )
    )


def segmenter_of(engine: Engine, num_objects: int, *, embeddings: bool = True) -> Segmenter:
    """Return a segmenter as a live run has it, with FastSAM's thresholds; masks are sharp if there is a refiner."""
    return Segmenter(engine=engine, conf=CONF, iou=IOU, max_det=num_objects, embeddings=embeddings)


def _tensorrt(case: Case, device: str, network: Network, *, half: bool) -> OpenedEngine:
    try:
        tensorrt = load_tensorrt()
    except EngineError as error:
        raise Unavailable(str(error)) from error
    graph, export_seconds = _exported(network, half=half)
    started = time.perf_counter()
    batches = (case.batch,)  # one profile: a plan for all batch sizes takes minutes
    plan, _ = build_plan(tensorrt, graph_for_tensorrt(graph), batches=batches)
    built = time.perf_counter() - started
    engine = TensorRtEngine(tensorrt, plan, device=device, half=half, imgsz=case.imgsz, batches=batches)
    return OpenedEngine(engine, export_seconds, built)


def _onnx(device: str, network: Network, *, half: bool) -> OpenedEngine:
    try:
        from streamseg.engines.onnx_engine import OnnxEngine
    except (ImportError, OSError) as error:
        raise Unavailable(f"ONNX Runtime cannot be imported: {str(error).splitlines()[0]}") from error
    graph, export_seconds = _exported(network, half=half)
    try:
        return OpenedEngine(OnnxEngine(graph, device=device), export_seconds)
    except EngineError as error:
        raise Unavailable(str(error)) from error


def _exported(network: Network, *, half: bool) -> tuple[bytes, float]:
    started = time.perf_counter()
    graph = export_graph(network, half=half)
    return graph, time.perf_counter() - started
