"""Runs a session of ONNX Runtime on torch's tensors where they are, without copies to the host and back.

It has not run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor

from streamseg.engines.engine import Raw
from streamseg.engines.export import EMBEDDINGS, OUTPUTS
from streamseg.engines.torch_engine import to_host
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.modeling.network import PROTOTYPE_STRIDE, STRIDES

__all__ = ["BoundSession", "output_shapes"]

EMBEDDING_STRIDE = 8
"""Input pixels per cell of embeddings."""

_TYPES = {"tensor(float)": (torch.float32, np.float32), "tensor(float16)": (torch.float16, np.float16)}


class BoundSession:
    """A session of a graph that `export_graph` wrote, without built-in suppression.

    Args:
        session: the session; on CUDA it computes on `stream`.
        device: `cpu` or `cuda:N`.
        stream: the stream that the session was opened with; None on the CPU.
    """

    def __init__(self, session: onnxruntime.InferenceSession, device: torch.device, stream: Any = None) -> None:
        self._session, self._device, self._stream = session, device, stream
        self._ports = {port.name: port for port in session.get_outputs()}
        self._names = [name for name in (*OUTPUTS, EMBEDDINGS) if name in self._ports]
        axes = {"mask_coefficients": 2, "prototypes": 1, EMBEDDINGS: 1}
        self._channels = {
            name: int(self._ports[name].shape[axis]) for name, axis in axes.items() if name in self._ports
        }

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`: one copy to the device from pinned memory, one wait for the results."""
        pixels = torch.from_numpy(images)
        with torch.cuda.device(self._device) if self._stream is not None else nullcontext():
            if self._stream is not None:
                pixels = pixels.pin_memory().to(self._device, non_blocking=True)
            return to_host(self.predict(pixels))

    def predict(self, pixels: Tensor) -> DecodedPredictions:
        """Run the network on letterboxed images uint8 (B, H, W, 3) RGB on this device, contiguous.

        On CUDA, starts the work behind that of torch's current stream, whose later work waits for it.
        """
        shapes = output_shapes(tuple(pixels.shape[:3]), self._channels)
        outputs: dict[str, Tensor] = {}
        binding = self._session.io_binding()
        where = (self._device.type, self._device.index or 0)
        binding.bind_input("images", *where, np.uint8, list(pixels.shape), pixels.data_ptr())
        current = None if self._stream is None else torch.cuda.current_stream(self._device)
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            for name in self._names:
                ours, theirs = _TYPES[self._ports[name].type]
                outputs[name] = torch.empty(shapes[name], dtype=ours, device=self._device)
                binding.bind_output(name, *where, theirs, list(shapes[name]), outputs[name].data_ptr())
            options = onnxruntime.RunOptions()
            if current is not None:
                self._stream.wait_stream(current)
                options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            self._session.run_with_iobinding(binding, options)
        if current is not None:
            current.wait_stream(self._stream)
            pixels.record_stream(self._stream)
            for tensor in outputs.values():
                tensor.record_stream(current)
        return DecodedPredictions(*(outputs.get(name) for name in (*OUTPUTS, EMBEDDINGS)))  # type: ignore[arg-type]


def output_shapes(images: Sequence[int], channels: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output by name.

    Args:
        images: (B, H, W) of the input.
        channels: number of channels of mask coefficients, prototypes and, if there are any, embeddings.
    """
    batch, height, width = images
    num_anchors = sum((height // stride) * (width // stride) for stride in STRIDES)
    shapes: dict[str, tuple[int, ...]] = {
        "boxes": (batch, num_anchors, 4),
        "scores": (batch, num_anchors),
        "mask_coefficients": (batch, num_anchors, channels["mask_coefficients"]),
        "prototypes": (batch, channels["prototypes"], height // PROTOTYPE_STRIDE, width // PROTOTYPE_STRIDE),
    }
    if EMBEDDINGS in channels:
        shapes[EMBEDDINGS] = (batch, channels[EMBEDDINGS], height // EMBEDDING_STRIDE, width // EMBEDDING_STRIDE)
    return shapes
