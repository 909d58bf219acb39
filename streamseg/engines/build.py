"""Which engine runs what where."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch

from streamseg.engines.engine import Engine, imgsz_of
from streamseg.engines.export import cached_graph, can_export, graph_path
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.weights import load_weights

__all__ = ["build_engine"]

_logger = logging.getLogger(__name__)


def build_engine(
    weights: str | Path = "default",
    *,
    engine: Literal["auto", "torch", "onnx"] = "auto",
    device: str = "auto",
    half: bool | Literal["auto"] = "auto",
) -> Engine:
    """Load weights into the engine that suits the device.

    Args:
        weights: `default`, a name (`FastSAM-s`, `FastSAM-x`), or the path of a .safetensors, .pt or .onnx file.
        engine: `auto` is torch on CUDA, and on the CPU ONNX Runtime: the faster one there. Its graph is exported
            once per weights file, and kept in $STREAMSEG_CACHE or ~/.cache/streamseg.
        device: `auto` (CUDA where there is some), `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
        half: half precision; `auto` on CUDA only. On the CPU only torch has it (bfloat16).

    Raises:
        WeightsError: the file is missing, broken or of another architecture.
        EngineError: the device is not there, or the engine cannot do what is asked.
    """
    if engine not in ("auto", "torch", "onnx"):
        raise EngineError(f"no engine {engine!r}; there are auto, torch and onnx")
    device = _resolved(device)
    on_cpu = device == "cpu"
    if Path(weights).suffix == ".onnx":
        if engine == "torch":
            raise EngineError(
                f"the torch engine cannot run {weights}; use engine onnx, or give a .safetensors or .pt file"
            )
        return _onnx_from_file(Path(weights), device, half)
    use_half = not on_cpu if half == "auto" else half
    loaded = load_weights(weights)
    if engine == "auto":
        engine = "onnx" if device.startswith("tensorrt") or (on_cpu and not use_half) else "torch"
        if engine == "onnx" and on_cpu and not (can_export() or graph_path(loaded).is_file()):
            _logger.warning("torch runs the network, as faster ONNX graphs need: pip install onnx")
            engine = "torch"
    if engine == "torch":
        if device.startswith("tensorrt"):
            raise EngineError("the torch engine runs on cpu and cuda; TensorRT needs engine onnx")
        _check_cuda(device)
        return TorchEngine(
            loaded.network(), device=device, half=use_half, imgsz=imgsz_of(loaded.metadata), refiner=loaded.refiner()
        )
    if on_cpu and use_half:
        raise EngineError("ONNX Runtime has no half precision on the CPU; use engine torch, or half false")
    from streamseg.engines.onnx_engine import OnnxEngine

    return OnnxEngine(cached_graph(loaded, half=use_half), path=graph_path(loaded, half=use_half), device=device)


def _onnx_from_file(path: Path, device: str, half: bool | Literal["auto"]) -> Engine:
    from streamseg.engines.onnx_engine import OnnxEngine

    if not path.is_file():
        raise WeightsError(
            f"no weights at {path}; allowed are 'default' and the path of a .safetensors, .pt or .onnx file"
        )
    runner = OnnxEngine(path.read_bytes(), path=path, device=device)
    if half != "auto" and half != runner.half:
        raise EngineError(f"{path} was exported with half {runner.half}, not {half}; export it again, or use half auto")
    return runner


def _resolved(device: str) -> str:
    """One of `cpu`, `cuda:N`, `tensorrt:N`."""
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, separator, index = device.partition(":")
    if device == "cpu":
        return device
    if kind not in ("cuda", "tensorrt") or (separator and not index.isdecimal()):
        raise EngineError(f"no device {device!r}; there are auto, cpu, cuda, cuda:N, tensorrt and tensorrt:N")
    return f"{kind}:{int(index or 0)}"


def _check_cuda(device: str) -> None:
    if device == "cpu":
        return
    count = torch.cuda.device_count()
    if int(device.partition(":")[2]) >= count:
        raise EngineError(f"no device {device!r}: torch {torch.__version__} sees {count} CUDA GPUs; use device cpu")
