"""The forms in which graphs of YOLO-World are written: their inputs and outputs, and how an image enters.

| output of the graph                | written by                                   | suppressed inside |
|------------------------------------|----------------------------------------------|-------------------|
| `num_dets`, `boxes`, `scores`, `labels` | the authors' exporter                   | yes               |
| `scores`, `boxes`                  | the authors' exporter with `--without-nms`   | no                |
| one of (1, 4 + C, N)               | Ultralytics' exporter                        | no                |

The first two stretch an image that is padded with black to a square, as the authors' example does; the third is padded
with grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np
import onnxruntime

from streamseg.errors import WeightsError
from streamseg.structures.arrays import Float32Array, ImageArray

__all__ = ["ALLOWED", "Scaled", "YoloWorldLayout"]

DEFAULT_SIZE: Final = 640
"""Side of the input if the graph accepts any."""
ALLOWED: Final = (
    "one input float32 (1, 3, H, W), optionally a second one float32 (1, C, D) for the classes' embeddings, and the"
    " outputs num_dets, boxes, scores, labels; or scores, boxes; or one output (1, 4 + C, N)"
)


class Scaled(NamedTuple):
    """An image at the size of the input, and how its pixels are placed there."""

    pixels: Float32Array
    """float32 (1, 3, S, S), 0..1."""
    scale: float
    """Input pixels per image pixel."""
    offset: tuple[float, float]
    """(x, y) of the image's corner in input pixels."""


@dataclass(frozen=True)
class YoloWorldLayout:
    """Names and form of the inputs and outputs of a graph."""

    images: str
    texts: str | None
    """Name of the input of embeddings; None if they are inside the graph."""
    form: Literal["suppressed", "raw", "single"]
    size: int
    """Side of the square input in pixels."""
    num_classes: int | None
    """Number of classes of the input of embeddings; None: any number, or there is no such input."""

    @classmethod
    def of(cls, session: onnxruntime.InferenceSession, path: Path) -> YoloWorldLayout:
        """Recognise a graph.

        Raises:
            WeightsError: it has none of the supported forms; says what was found and what is allowed.
        """
        inputs = {entry.name: entry for entry in session.get_inputs()}
        outputs = {entry.name: entry for entry in session.get_outputs()}
        images = [name for name, entry in inputs.items() if len(entry.shape) == 4]
        texts = [name for name, entry in inputs.items() if len(entry.shape) == 3]
        form: Literal["suppressed", "raw", "single"] | None = None
        if {"num_dets", "boxes", "scores", "labels"} <= set(outputs):
            form = "suppressed"
        elif {"scores", "boxes"} == set(outputs):
            form = "raw"
        elif len(outputs) == 1 and len(next(iter(outputs.values())).shape) == 3:
            form = "single"
        are_floats = all(entry.type == "tensor(float)" for entry in inputs.values())
        if form is None or len(images) != 1 or len(texts) > 1 or len(inputs) != 1 + len(texts) or not are_floats:
            raise WeightsError(f"{path} is no graph of YOLO-World: it has {_ports(session)}; allowed are {ALLOWED}")
        height, width = inputs[images[0]].shape[2:]
        if isinstance(height, int) and isinstance(width, int) and height != width:
            raise WeightsError(f"{path} takes images of {width}x{height}; export it with a square size")
        num_classes = inputs[texts[0]].shape[1] if texts else None
        return cls(
            images[0],
            texts[0] if texts else None,
            form,
            height if isinstance(height, int) else DEFAULT_SIZE,
            num_classes if isinstance(num_classes, int) else None,
        )

    def prepare(self, image: ImageArray) -> Scaled:
        """Return an image (H, W, 3) as the input of the graph."""
        height, width = image.shape[:2]
        size = self.size
        scale = size / max(height, width)
        if self.form == "single":
            scaled_size = round(width * scale), round(height * scale)
            resized = cv2.resize(image, scaled_size, interpolation=cv2.INTER_LINEAR)
            left, top = (size - scaled_size[0]) // 2, (size - scaled_size[1]) // 2
            square = np.full((size, size, 3), 114, np.uint8)
            square[top : top + scaled_size[1], left : left + scaled_size[0]] = resized
            offset = float(left), float(top)
        else:
            side = max(height, width)
            left, top = (side - width) // 2, (side - height) // 2
            padded = np.zeros((side, side, 3), np.uint8)
            padded[top : top + height, left : left + width] = image
            square = np.asarray(cv2.resize(padded, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
            offset = left * scale, top * scale
        pixels = square.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        return Scaled(np.ascontiguousarray(pixels), scale, offset)


def _ports(session: onnxruntime.InferenceSession) -> str:
    inputs = ", ".join(f"{entry.name} {entry.shape}" for entry in session.get_inputs())
    outputs = ", ".join(f"{entry.name} {entry.shape}" for entry in session.get_outputs())
    return f"inputs {inputs} and outputs {outputs}"
