"""The execution providers of ONNX Runtime for each device, with their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamseg.errors import EngineError

__all__ = ["MAX_BATCH", "MAX_SIDE", "PROVIDERS", "GraphInput", "provider_options"]

PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Name of the provider by kind of device."""

MAX_BATCH: Final = 8
"""Largest batch of a TensorRT engine whose graph leaves it open: the default `batching.max_batch`."""
MIN_SIDE, MAX_SIDE = 32, 1280
"""Range of the image sides of a TensorRT engine whose graph leaves them open, pixels."""
TYPICAL_SIDES: Final = (384, 640)
"""(H, W) that TensorRT optimises for: 16:9 video at the usual input size."""


@dataclass(frozen=True)
class GraphInput:
    """The image input of a graph."""

    name: str
    shape: tuple[int | None, ...]
    """(B, 3, H, W) or (B, H, W, 3); None for dynamic axes."""

    @property
    def is_dynamic(self) -> bool:
        """Whether any axis is dynamic."""
        return None in self.shape

    def profile(self) -> dict[str, str]:
        """Return the smallest, the typical and the largest shape, as TensorRT's options.

        Without them TensorRT builds an engine for the first shape and builds it again, for minutes, when another one
        arrives.
        """
        sides = iter(TYPICAL_SIDES)
        # The first axis is the batch; channels are never dynamic.
        typical = [1 if axis == 0 else next(sides, MAX_SIDE) for axis in _dynamic_axes(self.shape)]
        limits = {
            "min": [1 if axis == 0 else MIN_SIDE for axis in _dynamic_axes(self.shape)],
            "opt": typical,
            "max": [MAX_BATCH if axis == 0 else MAX_SIDE for axis in _dynamic_axes(self.shape)],
        }
        return {f"trt_profile_{name}_shapes": self._filled(values) for name, values in limits.items()}

    def _filled(self, values: Sequence[int]) -> str:
        remaining = iter(values)
        return f"{self.name}:" + "x".join(str(next(remaining) if axis is None else axis) for axis in self.shape)


def provider_options(
    device: str, *, cache: Path, half: bool = False, images: GraphInput | None = None, stream: int | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Return the providers of a device in order of preference, each with its options.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
        cache: folder in which TensorRT stores engines and timings.
        half: whether the graph computes in half precision. TensorRT computes half-precision graphs in float32 layers
            with conversions between them unless it is enabled.
        images: the graph's input, for the range of shapes of a TensorRT engine; None to leave it to TensorRT.
        stream: CUDA stream to compute on, as an address; None for one of ONNX Runtime's own.

    Raises:
        EngineError: ONNX Runtime has no such device.
    """
    kind, _, index = device.partition(":")
    if kind not in PROVIDERS:
        raise EngineError(f"the onnx engine runs on {', '.join(PROVIDERS)}, not on {device!r}")
    if kind == "cpu":
        return [(PROVIDERS[kind], {})]
    device_id = int(index or 0)
    # HEURISTIC: an exhaustive search would be repeated for every new input shape. Without TF32, whose 10 mantissa bits
    # move boxes by 0.2 pixels, float32 graphs compute in float32.
    own: dict[str, Any] = {} if stream is None else {"user_compute_stream": str(stream)}
    cuda = (PROVIDERS["cuda"], {"device_id": device_id, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0, **own})
    if kind == "cuda":
        return [cuda]
    options: dict[str, Any] = {
        "device_id": device_id,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        # Measured times of kernels: another graph or range of shapes then builds in a fraction of the time.
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": half,
    }
    if images is not None and images.is_dynamic:
        options |= images.profile()
    return [(PROVIDERS[kind], options), cuda]


def _dynamic_axes(shape: Sequence[int | None]) -> list[int]:
    return [axis for axis, size in enumerate(shape) if size is None]
