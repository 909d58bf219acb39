"""The network in torch: float32 on the CPU, half precision on CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.engines.cuda import disable_tf32
from streamseg.engines.engine import DEFAULT_IMGSZ, Raw
from streamseg.modeling.decoding import Anchors, DecodedPredictions, anchors, decode
from streamseg.modeling.network import FusedConv, Network, fuse
from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.refiner import Refiner

__all__ = ["TorchEngine"]


class TorchEngine:
    """The network in torch on a given device, in channels-last memory format.

    Half precision is float16 on CUDA and bfloat16 on the CPU. Processors with AVX512-BF16 or AMX run bfloat16 1.5 to
    1.8 times as fast as float32; others are slower.

    Cost in accuracy: each layer's output is rounded, by up to 2^-11 of its value in float16 (10 mantissa bits) and
    2^-8 in bfloat16 (7 bits). Sums within a layer, box decoding and the sigmoid stay in float32. Over consecutive
    layers the errors grow like a random walk: some 60 layers amount to about 8 roundings, or 0.4 % and 3 % of a logit.
    (Measured, float16 is 8 to 18 times as close as bfloat16, depending on the array.) Differences from float32:

    ==================  ====================  ============================  =============================
    ..                  yolov8n weights, all  random weights, amplified     test limits (random weights)
    ==================  ====================  ============================  =============================
    float16, scores     0.0005                0.007                         0.02
    float16, boxes      0.2 px                0.7 px                        2 px
    bfloat16, scores    0.007                 0.12                          0.2
    bfloat16, boxes     3 px                  7 px                          16 px
    ==================  ====================  ============================  =============================

    The float16 figures were measured with exported graphs on the CPU, which round in the same places. CUDA kernels are
    expected to stay within the same bounds, because they also sum in float32, only in a different order.
    """

    name = "torch"
    input_size: tuple[int, int] | None = None
    max_batch: int | None = None
    suppression: NmsSettings | None = None

    def __init__(
        self,
        network: Network,
        *,
        device: str = "cpu",
        half: bool = False,
        imgsz: int = DEFAULT_IMGSZ,
        refiner: Refiner | None = None,
        selects: bool = False,
        graphs: bool = True,
    ) -> None:
        """Fold the batch norms of a copy of the network, and move the copy to the device.

        Args:
            network: the network.
            device: `cpu`, `cuda:N`, or `meta`, which computes shapes only.
            half: half precision.
            imgsz: input size that the weights were made for.
            refiner: mask refiner included in the weights.
            graphs: whether work on the device is captured as CUDA graphs where `selects` is set.
            selects: whether `Segmenter` shall select the detections on the device, too (`engine: device`).
        """
        self.device = device
        self.half = half
        self.imgsz = imgsz
        self.selects, self.graphs = selects, graphs
        self._device = torch.device(device)
        self.refiner = None if refiner is None else refiner.to(self._device)
        on_cuda = self._device.type == "cuda"
        if on_cuda:
            disable_tf32()  # also for the refiner, which is float32 in either case
        self._dtype = (torch.float16 if on_cuda else torch.bfloat16) if half else torch.float32
        fused = fuse(network)
        if self._device.type != "cpu":
            for module in fused.modules():
                if isinstance(module, FusedConv):
                    module.fuses_bias = True
        placed = fused.to(device=self._device, dtype=self._dtype)
        self._anchors: dict[tuple[int, ...], Anchors] = {}
        self._network: Network | None = placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`."""
        pixels = torch.from_numpy(images)  # (B, H, W, 3)
        with self.current_device():
            if self._device.type == "cuda":
                # A quarter of the bytes of float32; and only copies from pinned memory are asynchronous.
                pixels = pixels.pin_memory().to(self._device, non_blocking=True)
            return to_host(self.predict(pixels))

    def predict(self, pixels: Tensor) -> DecodedPredictions:
        """Run the network on letterboxed images uint8 (B, H, W, 3) RGB on this device, without any synchronisation."""
        if self._network is None:
            raise RuntimeError("this engine is closed")
        # The permuted view is already in channels-last memory format: no data is moved.
        inputs = pixels.permute(0, 3, 1, 2).to(self._dtype).div_(255)  # (B, 3, H, W)
        predictions = self._network(inputs)
        grid = tuple(predictions.prototypes.shape[2:])
        if grid not in self._anchors:
            self._anchors[grid] = anchors(predictions.prototypes)
        return decode(predictions, cells=self._anchors[grid])

    def current_device(self) -> AbstractContextManager[object]:
        """Return a context in which this GPU is torch's current one; without it, pinning opens a context on GPU 0."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def close(self) -> None:
        """See `Engine.close`. The memory is returned to the driver, so that other processes can use it."""
        self._network = self.refiner = None
        self._anchors.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def to_host(decoded: DecodedPredictions) -> Raw:
    """Copy a batch from device to host: all arrays, with a single synchronisation."""
    tensors = [tensor for tensor in decoded if tensor is not None]
    if decoded.boxes.device.type != "cuda":
        return Raw(*_arrays(tensors))
    pinned = []
    for tensor in tensors:
        target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        pinned.append(target.copy_(tensor.contiguous(), non_blocking=True))
    torch.cuda.current_stream(decoded.boxes.device).synchronize()
    return Raw(*_arrays(pinned))


def _arrays(tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    # NumPy has no bfloat16.
    return [(tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy() for tensor in tensors]
