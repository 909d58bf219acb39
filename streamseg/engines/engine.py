"""The engine protocol: image batches in, host arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.refiner import Refiner

__all__ = ["DEFAULT_IMGSZ", "CompilesShapes", "Engine", "Raw", "imgsz_of", "largest_differences"]

DEFAULT_IMGSZ = 640
"""Input size in pixels for weights that state none: the ecosystem's default."""


@dataclass(frozen=True, eq=False)
class Raw:
    """Network output for B images, on the host: all A anchors, before thresholding and suppression.

    Graphs with built-in NMS return the A rows that passed it, padded with rows of zeros.
    """

    boxes: npt.NDArray[np.float32]
    """(B, A, 4) xyxy, continuous input pixels."""
    scores: npt.NDArray[np.float32]
    """(B, A), 0..1."""
    mask_coefficients: npt.NDArray[Any]
    """float32 or float16 (B, A, num_masks)."""
    prototypes: npt.NDArray[Any]
    """float32 or float16 (B, num_masks, H / 4, W / 4)."""
    embeddings: npt.NDArray[Any] | None = None
    """float32 or float16 (B, E, H / 8, W / 8), unit vectors over E; None if the network predicts none."""

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, without embeddings if there are none."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: values for name, values in named if values is not None}


def imgsz_of(metadata: Mapping[str, str]) -> int:
    """Return the input size from the entry `imgsz` of a weights file, or `DEFAULT_IMGSZ` if it has no valid one."""
    text = metadata.get("imgsz", "")
    return int(text) if text.isdecimal() and 32 <= int(text) <= 4096 else DEFAULT_IMGSZ


class Engine(Protocol):
    """The network and its decoding on one device."""

    @property
    def name(self) -> str:
        """`torch`, `onnx`, `openvino` or `tensorrt`."""

    @property
    def device(self) -> str:
        """The device, such as `cpu` or `cuda:0`."""

    @property
    def half(self) -> bool:
        """Whether the network computes in half precision; boxes and scores are float32 in either case."""

    @property
    def imgsz(self) -> int:
        """Long side of the input, in pixels, that the weights were made for."""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """The only supported input size (H, W), as in many third-party graphs; None if any size is supported."""

    @property
    def max_batch(self) -> int | None:
        """Maximum number of images per run; None if unlimited."""

    @property
    def refiner(self) -> Refiner | None:
        """Mask refiner included in the weights, on this device; None if absent."""

    @property
    def suppression(self) -> NmsSettings | None:
        """Thresholds of the suppression inside the graph, if known; None if the graph returns all anchors."""

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """Run the network on letterboxed images (B, H, W, 3) RGB 0..255.

        H and W are multiples of 32 (or `input_size`), B is at least 1 and at most `max_batch`.
        """

    def close(self) -> None:
        """Release the device memory; the engine cannot run afterwards."""


@runtime_checkable
class CompilesShapes(Protocol):
    """An engine that may compile a model for a shape of images while frames go on."""

    start: Callable[[Callable[[], None]], object] | None
    """Starts such work in another thread; None: it is left out. Set before the first frame."""


def largest_differences(first: Raw, second: Raw) -> dict[str, float]:
    """Return the largest absolute difference of two outputs for the same images, by array name.

    Differences of boxes are in input pixels, the others in the unit of their array. Arrays that only one output has are
    left out.
    """
    others = second.arrays()
    return {
        name: float(np.abs(values.astype(np.float64) - others[name].astype(np.float64)).max())
        for name, values in first.arrays().items()
        if name in others
    }
