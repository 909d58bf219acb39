"""Select and load the engine for a device."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal, get_args

import torch

from streamseg.engines.cuda import cuda_state
from streamseg.engines.engine import Engine, imgsz_of
from streamseg.engines.export import cached_graph, can_export, graph_path
from streamseg.engines.openvino_model import can_use_openvino
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.geometry import letterbox
from streamseg.paths import cache_folder
from streamseg.weights import Weights, load_weights
from streamseg.weights.embedded import EMBEDDED

__all__ = ["EngineName", "build_engine"]

EngineName = Literal["auto", "torch", "onnx", "openvino", "device", "tensorrt"]
"""Names of engines in the configuration."""

TYPICAL_IMAGE = (720, 1280)
"""(H, W) of the images that TensorRT's kernels are chosen for: 16:9 video."""

ENGINE_VARIABLE = "STREAMSEG_ENGINE"
"""Environment variable: the engine that `auto` stands for on the CPU, in place of a measurement."""

_logger = logging.getLogger(__name__)


def build_engine(
    weights: str | Path = "default",
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    half: bool | Literal["auto"] = "auto",
) -> Engine:
    """Load weights into the engine that suits the device.

    Args:
        weights: `default`, a name (`FastSAM-s`, `FastSAM-x`), or the path of a .safetensors, .pt, .onnx or .xml
            file (.xml: written by `streamseg quantize`).
        engine: `auto` selects torch on CUDA. On the CPU, it selects ONNX Runtime, or, if OpenVINO is installed, the
            fastest of all engines, measured once per machine and weights, unless it is busy then (`auto`);
            $STREAMSEG_ENGINE replaces the measurement.
            Graphs are exported once per weights file and cached in $STREAMSEG_CACHE or ~/.cache/streamseg. `device` is
            torch with the selection of detections on the device as well, see `segmentation.device`; it is meant for
            CUDA. `tensorrt` is the same with the network in TensorRT.
        device: `auto` (CUDA if usable, else the CPU; an NVIDIA GPU that is present but not usable is logged with the
            reason), `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
        half: half precision; `auto` enables it on CUDA only. On the CPU it is bfloat16, which torch supports, and
            OpenVINO on processors that have it. With `auto`, the engine `auto` may choose a graph in 8 bits, if there
            is one of recorded accuracy (`int8_graphs`); with False, it computes in float32.

    Raises:
        WeightsError: the file is missing, broken or of another architecture.
        EngineError: the device is not available, or the engine does not support the requested combination.
    """
    if engine not in get_args(EngineName):
        raise EngineError(f"no engine {engine!r}; allowed are auto, torch, onnx, openvino, device and tensorrt")
    suffix = Path(weights).suffix
    if engine == "openvino" or suffix == ".xml":
        return _openvino(weights, engine, device, half)
    is_auto, device = device == "auto", _resolved(device)
    on_cpu = device == "cpu"
    if suffix == ".onnx":
        if engine in ("torch", "device", "tensorrt"):
            raise EngineError(
                f"the {engine} engine cannot run {weights}; use engine onnx, or a .safetensors or .pt file"
            )
        return _onnx_from_file(Path(weights), device, half, may_fall_back=is_auto)
    use_half = not on_cpu if half == "auto" else half
    loaded = load_weights(weights)
    if engine == "auto" and on_cpu and not use_half:
        engine = _forced()
        if engine == "openvino":
            return _openvino(weights, engine, device, half)
    if engine == "auto":
        if on_cpu and not use_half and can_use_openvino():
            from streamseg.engines.auto import fastest_engine

            return fastest_engine(loaded, with_int8=half == "auto")
        engine = "onnx" if device.startswith("tensorrt") or (on_cpu and not use_half) else "torch"
        if engine == "onnx" and on_cpu and not (can_export() or graph_path(loaded).is_file()):
            _logger.warning("running the network in torch; for the faster ONNX Runtime engine: pip install onnx")
            engine = "torch"
    if engine in ("torch", "device"):
        if device.startswith("tensorrt"):
            raise EngineError(f"the {engine} engine runs on cpu and cuda; TensorRT needs engine onnx")
        _check_cuda(device)
        return TorchEngine(
            loaded.network(),
            device=device,
            half=use_half,
            imgsz=imgsz_of(loaded.metadata),
            refiner=loaded.refiner(),
            selects=engine == "device",
        )
    if engine == "tensorrt":
        return _tensorrt(loaded, device, half=use_half)
    if on_cpu and use_half:
        raise EngineError("ONNX Runtime does not support half precision on the CPU; use engine torch, or half false")
    from streamseg.engines.onnx_engine import OnnxEngine

    return OnnxEngine(cached_graph(loaded, half=use_half), path=graph_path(loaded, half=use_half), device=device)


def _forced() -> EngineName:
    """Return the engine that the environment states in place of `auto`."""
    stated = os.environ.get(ENGINE_VARIABLE, "auto")
    names: tuple[EngineName, ...] = ("auto", "torch", "onnx", "openvino")
    for name in names:
        if stated == name:
            return name
    raise EngineError(f"{ENGINE_VARIABLE} must be auto, torch, onnx or openvino, got {stated[:80]!r}")


def _openvino(weights: str | Path, engine: EngineName, device: str, half: bool | Literal["auto"]) -> Engine:
    """Run weights, or a graph of them, in OpenVINO."""
    path = Path(weights)
    if engine not in ("auto", "openvino"):
        raise EngineError(f"the {engine} engine cannot run {path}; use engine openvino, or a .safetensors or .pt file")
    if device not in ("auto", "cpu"):
        raise EngineError(f"the openvino engine runs on the CPU, not on {device!r}; use device cpu")
    from streamseg.engines.openvino_engine import OpenVinoEngine
    from streamseg.engines.openvino_model import load_openvino, read_onnx, read_xml

    load_openvino()  # fail before weights are fetched and exported
    if path.suffix == ".xml":
        source = read_xml(path)
    elif path.suffix == ".onnx":
        source = read_onnx(_contents(path), path=path)
    else:
        loaded = load_weights(weights)
        path = graph_path(loaded)
        source = read_onnx(cached_graph(loaded), path=path)
    return OpenVinoEngine(source, path=path, half=half is True)


def _tensorrt(loaded: Weights, device: str, *, half: bool) -> Engine:
    """Run weights in TensorRT, on the buffers of `engine: device`."""
    from streamseg.engines.tensorrt_engine import TensorRtEngine
    from streamseg.engines.tensorrt_plan import cached_plan, load_tensorrt

    if not device.startswith("cuda"):
        raise EngineError(f"the tensorrt engine runs on cuda, not on {device!r}; use device cuda, or another engine")
    _check_cuda(device)
    tensorrt = load_tensorrt()
    gpu = torch.cuda.get_device_name(device)
    imgsz = imgsz_of(loaded.metadata)
    typical = letterbox(TYPICAL_IMAGE, imgsz).input_size
    folder = cache_folder() / "tensorrt"
    plan = cached_plan(tensorrt, cached_graph(loaded, half=half), gpu=gpu, folder=folder, typical=typical)
    return TensorRtEngine(tensorrt, plan, device=device, half=half, imgsz=imgsz, refiner=loaded.refiner())


def _onnx_from_file(path: Path, device: str, half: bool | Literal["auto"], *, may_fall_back: bool) -> Engine:
    from streamseg.engines.onnx_engine import OnnxEngine

    graph = _contents(path)
    try:
        runner = OnnxEngine(graph, path=path, device=device)
    except EngineError as error:
        if not may_fall_back or device == "cpu":
            raise
        _logger.warning("running %s on the CPU: %s", path, error)
        runner = OnnxEngine(graph, path=path, device="cpu")
    if half != "auto" and half != runner.half:
        raise EngineError(f"{path} was exported with half {runner.half}, not {half}; re-export it, or use half auto")
    return runner


def _contents(path: Path) -> bytes:
    if not path.is_file():
        raise WeightsError(
            f"no weights at {path}; allowed are {', '.join(map(repr, EMBEDDED))} and the path of a .safetensors, .pt,"
            " .onnx or .xml file"
        )
    return path.read_bytes()


def _resolved(device: str) -> str:
    """Return the device as `cpu`, `cuda:N` or `tensorrt:N`."""
    if device == "auto":
        state = cuda_state()
        problem = state.problem(0)
        if problem is not None and state.has_driver:
            _logger.warning("running the network on the CPU, although there is an NVIDIA GPU: %s", problem)
        return "cuda:0" if problem is None else "cpu"
    kind, separator, index = device.partition(":")
    if device == "cpu":
        return device
    if kind not in ("cuda", "tensorrt") or (separator and not index.isdecimal()):
        raise EngineError(f"no device {device!r}; allowed are auto, cpu, cuda, cuda:N, tensorrt and tensorrt:N")
    return f"{kind}:{int(index or 0)}"


def _check_cuda(device: str) -> None:
    if device == "cpu":
        return
    problem = cuda_state().problem(int(device.partition(":")[2]))
    if problem is not None:
        raise EngineError(f"no device {device!r}: {problem}, or use device cpu (torch {torch.__version__})")
