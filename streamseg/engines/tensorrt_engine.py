"""The network in TensorRT, on torch's device buffers, for `engine: tensorrt`. It has not run on a GPU yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.engines.engine import Raw
from streamseg.engines.export import EMBEDDINGS, OUTPUTS
from streamseg.engines.onnx_providers import MAX_SIDE
from streamseg.engines.tensorrt_plan import BATCHES
from streamseg.engines.torch_engine import to_host
from streamseg.errors import EngineError
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.refiner import Refiner

__all__ = ["TensorRtEngine"]


class TensorRtEngine:
    """A plan that reads and writes torch's tensors where they are, so that the whole step is one CUDA graph.

    Each input shape has an execution context of its own: a captured graph refers to the context's memory.
    """

    name = "tensorrt"
    input_size: tuple[int, int] | None = None
    max_batch: int | None
    suppression: NmsSettings | None = None
    selects = True
    graphs = True

    def __init__(
        self,
        tensorrt: Any,
        plan: bytes,
        *,
        device: str,
        half: bool,
        imgsz: int,
        refiner: Refiner | None = None,
        batches: Sequence[int] = BATCHES,
    ) -> None:
        """Load a plan.

        Args:
            tensorrt: the module.
            plan: as `cached_plan` returns it.
            device: `cuda:N`, the GPU that the plan was built for.
            half: whether the network computes in half precision.
            imgsz: input size that the weights were made for.
            refiner: mask refiner included in the weights.
            batches: batch sizes that the plan was built for, ascending.

        Raises:
            EngineError: the plan was built for another GPU or version of TensorRT.
        """
        self.device, self.half, self.imgsz = device, half, imgsz
        self.max_batch = max(batches)
        self._batches = tuple(batches)
        self._device = torch.device(device)
        self.refiner = None if refiner is None else refiner.to(self._device)
        self._tensorrt = tensorrt
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        with self._current_device():
            self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT cannot load the network on {device}; delete its plans from the cache folder")
        names = {self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)}
        self._outputs = tuple(name for name in (*OUTPUTS, EMBEDDINGS) if name in names)
        self._contexts: dict[tuple[int, ...], Any] = {}

    @torch.inference_mode()
    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`. Batches between two of the plan's sizes are filled up."""
        batch = next(size for size in self._batches if size >= len(images))
        padded = np.concatenate([images, np.zeros((batch - len(images), *images.shape[1:]), np.uint8)])
        with self._current_device():
            raw = to_host(self.predict(torch.from_numpy(padded).to(self._device)))
        return Raw(**{name: values[: len(images)] for name, values in raw.arrays().items()})

    def predict(self, pixels: Tensor) -> DecodedPredictions:
        """Run the network on letterboxed images uint8 (B, H, W, 3) RGB on this device, B one of the plan's sizes.

        Starts the work on torch's current stream without any synchronisation.

        Raises:
            EngineError: a side exceeds `MAX_SIDE`.
        """
        if self._engine is None:
            raise RuntimeError("this engine is closed")
        context = self._context(tuple(pixels.shape))
        outputs = {
            name: torch.empty(tuple(context.get_tensor_shape(name)), dtype=self._dtype(name), device=self._device)
            for name in self._outputs
        }
        context.set_tensor_address("images", pixels.data_ptr())
        for name, tensor in outputs.items():
            context.set_tensor_address(name, tensor.data_ptr())
        if not context.execute_async_v3(self._stream()):
            raise EngineError(f"TensorRT cannot run images {tuple(pixels.shape)} on {self.device}; use engine device")
        return DecodedPredictions(*(outputs.get(name) for name in (*OUTPUTS, EMBEDDINGS)))  # type: ignore[arg-type]

    def close(self) -> None:
        """See `Engine.close`."""
        self._contexts.clear()
        self._engine = self._runtime = self.refiner = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _context(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._contexts:
            if max(shape[1:3]) > MAX_SIDE:
                raise EngineError(f"engine tensorrt takes sides up to {MAX_SIDE} pixels, not {shape[2]}x{shape[1]}")
            context = self._engine.create_execution_context()
            context.set_optimization_profile_async(self._batches.index(shape[0]), self._stream())
            context.set_input_shape("images", shape)
            self._contexts[shape] = context
        return self._contexts[shape]

    def _dtype(self, name: str) -> torch.dtype:
        types = {self._tensorrt.DataType.FLOAT: torch.float32, self._tensorrt.DataType.HALF: torch.float16}
        return types[self._engine.get_tensor_dtype(name)]

    def _stream(self) -> int:
        """Return torch's current stream as TensorRT takes it."""
        return int(torch.cuda.current_stream(self._device).cuda_stream) if self._device.type == "cuda" else 0

    def _current_device(self) -> Any:
        return torch.cuda.device(self._device) if self._device.type == "cuda" else torch.inference_mode()
