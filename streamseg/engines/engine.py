"""What an engine is: pictures in, arrays on the host out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamseg.modeling.nms import Suppression
from streamseg.modeling.refiner import Refiner

__all__ = ["USUAL_IMGSZ", "Engine", "Raw", "imgsz_of", "largest_differences"]

USUAL_IMGSZ = 640
"""For weights that do not say what they are made for: the ecosystem's default."""


@dataclass(frozen=True, eq=False)
class Raw:
    """The network's answer for B pictures, on the host: all A anchors, nothing chosen or suppressed yet.

    Graphs with NMS inside answer with the A rows that passed it; rows of zeros fill up what is left.
    """

    boxes: npt.NDArray[np.float32]
    """(B, A, 4) xyxy, continuous input pixels."""
    scores: npt.NDArray[np.float32]
    """(B, A), 0..1."""
    mask_coefficients: npt.NDArray[Any]
    """float32 or float16 (B, A, num_masks)."""
    prototypes: npt.NDArray[Any]
    """float32 or float16 (B, num_masks, H / 4, W / 4)."""


def imgsz_of(metadata: Mapping[str, str]) -> int:
    """The input size that a weights file asks for in its entry `imgsz`; `USUAL_IMGSZ` without a usable one."""
    text = metadata.get("imgsz", "")
    return int(text) if text.isdecimal() and 32 <= int(text) <= 4096 else USUAL_IMGSZ


class Engine(Protocol):
    """Runs the network and the decoding on one device."""

    @property
    def name(self) -> str:
        """`torch` or `onnx`."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda:0` or the like."""

    @property
    def half(self) -> bool:
        """Whether it computes in half precision; boxes and scores are float32 all the same."""

    @property
    def imgsz(self) -> int:
        """Long side of the input, in pixels, that its weights are made for."""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """The only (H, W) that it can run, as graphs of other programs often have; None for any."""

    @property
    def max_batch(self) -> int | None:
        """The most pictures that it can run at once; None for any number."""

    @property
    def refiner(self) -> Refiner | None:
        """What its weights bring to correct masks with, on its device; None where they bring none."""

    @property
    def suppression(self) -> Suppression | None:
        """The thresholds of the suppression inside its graph, where they are known; None where all anchors come out."""

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """Run letterboxed pictures (B, H, W, 3) RGB 0..255.

        H and W are multiples of 32 (or `input_size`), B is at least 1 and at most `max_batch`.
        """

    def close(self) -> None:
        """Give the device's memory back; nothing can be run afterwards."""


def largest_differences(first: Raw, second: Raw) -> dict[str, float]:
    """How far two answers to the same pictures are apart, by array: boxes in input pixels, the others in their unit."""
    return {
        field.name: float(
            np.abs(getattr(first, field.name).astype(np.float64) - getattr(second, field.name).astype(np.float64)).max()
        )
        for field in fields(Raw)
    }
