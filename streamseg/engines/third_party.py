"""Third-party ONNX graphs: convert inputs to floats and outputs to `Raw`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from streamseg.engines.engine import DEFAULT_IMGSZ, Raw
from streamseg.engines.layouts import (
    ALLOWED,
    Layout,
    Port,
    UnknownLayout,
    check_input,
    exported_in_half,
    format_ports,
    num_anchors,
    recognise,
)
from streamseg.engines.onnx_session import RUN_ERRORS, quiet
from streamseg.errors import EngineError, WeightsError
from streamseg.modeling.network import PROTOTYPE_STRIDE

__all__ = ["ThirdPartyGraph", "to_raw"]

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}

_TRIAL_SIZE = (64, 96)
"""(H, W) of the trial run of a graph with dynamic axes: small, and with distinct sizes."""


class ThirdPartyGraph:
    """A graph of the form of YOLOv8-seg that was not written by `streamseg export`.

    Its results equal those of the torch engine for the same weights, with these limits inherent in the graph:

    With half-precision outputs, boxes are rounded to float16: to half a pixel between 512 and 1024.

    With built-in NMS, only detections that passed it are available. A `conf` below the exported one finds nothing more
    (the file does not state it; 0.25 is common); the same holds for a higher `iou` and a larger `max_det`. The
    suppression that follows removes nothing if its `iou` is the same or higher, because the remaining boxes overlap
    less. However, the graph suppressed objects class by class, whereas all classes count as one here.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        path: str | Path,
        trial: Callable[[], onnxruntime.InferenceSession],
    ) -> None:
        """Determine the layout of the graph.

        Args:
            session: session on the device that the graph will run on; not run here.
            path: source of the graph, for error messages.
            trial: returns a session of the same graph on the CPU. Called, and the session run once, only if the graph
                has dynamic axes.

        Raises:
            WeightsError: the graph has an unsupported form. The message states the inputs and outputs found and the
                supported forms.
        """
        self._path = path
        metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        inputs = [_port(entry) for entry in session.get_inputs()]
        outputs = [_port(entry) for entry in session.get_outputs()]
        try:
            check_input(inputs)
            batch, _, height, width = inputs[0].shape
            size = (height, width) if height is not None and width is not None else _TRIAL_SIZE
            if height is None or any(None in port.shape for port in outputs):
                outputs = _tried(trial(), inputs[0], outputs, (batch or 1, 3, *size))
            self.layout = recognise(inputs, outputs, size, metadata)
        except UnknownLayout as error:
            raise WeightsError(
                f"{path} is not supported: it {error} (found: {format_ports(inputs, outputs)}); allowed are {ALLOWED}"
            ) from error
        self.half = self.layout.dtype == "float16" or exported_in_half(metadata)
        self.imgsz = max(self.layout.input_size) if self.layout.input_size else _stated_imgsz(metadata)

    def run(self, session: onnxruntime.InferenceSession, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`.

        Raises:
            EngineError: the graph does not support the batch or image size, or its output is inconsistent.
        """
        batch, height, width, _ = images.shape
        layout = self.layout
        if layout.input_size not in (None, (height, width)) or batch > (layout.max_batch or batch):
            raise EngineError(
                f"{self._path} takes {layout.max_batch or 'any number of'} images at once, of "
                f"{layout.input_size or 'any size'} (H, W), got {batch} of {(height, width)}; "
                "use Segmenter, which resizes and splits batches as required"
            )
        missing = (layout.num_images or batch) - batch
        if missing:  # the graph has a fixed batch; the outputs of the grey padding images are cut off
            images = np.concatenate([images, np.full((missing, height, width, 3), 114, np.uint8)])
        try:
            detections, prototypes = session.run(
                [layout.detections, layout.prototypes], {layout.images: to_input(images, layout.dtype)}
            )
        except RUN_ERRORS as error:
            raise EngineError(
                f"{self._path} cannot run {batch} images of {(height, width)} (H, W), although its axes allow it: "
                f"{_first_line(error)}"
            ) from error
        raw = to_raw(detections[:batch], prototypes[:batch], layout)
        self._check(raw, (batch, height, width))
        return raw

    def _check(self, raw: Raw, shape: tuple[int, int, int]) -> None:
        batch, height, width = shape
        grid = (batch, height // PROTOTYPE_STRIDE, width // PROTOTYPE_STRIDE)
        found = (raw.prototypes.shape[0], *raw.prototypes.shape[2:])
        if found != grid or len(raw.scores) != batch:
            raise EngineError(f"{self._path} returns prototypes {found} (B, H/4, W/4), but {grid} is required")
        if self.layout.arrangement != "suppressed" and raw.scores.shape[1] != num_anchors((height, width)):
            raise EngineError(
                f"{self._path} returns {raw.scores.shape[1]} anchors, but strides 8, 16 and 32 require "
                f"{num_anchors((height, width))}"
            )
        if raw.scores.size and (raw.scores.min() < 0 or raw.scores.max() > 1):
            raise EngineError(
                f"{self._path} returns scores {raw.scores.min():.2g}..{raw.scores.max():.2g}, not 0..1; "
                "export it with its sigmoid"
            )


def to_input(images: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[np.floating]:
    """Convert images (B, H, W, 3) 0..255 to (B, 3, H, W) 0..1 of type `dtype`."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
    array: npt.NDArray[np.floating] = pixels.to(getattr(torch, dtype)).contiguous().numpy()
    return array


def to_raw(detections: npt.NDArray[np.floating], prototypes: npt.NDArray[np.floating], layout: Layout) -> Raw:
    """Extract boxes, best score and coefficients of every anchor, or of every row that passed the graph's NMS.

    Args:
        detections: output of the graph, arranged according to `layout.arrangement`.
        prototypes: (B, num_masks, H / 4, W / 4).
        layout: layout of the graph.
    """
    if layout.arrangement == "anchors last":
        detections = detections.transpose(0, 2, 1)
    first_coefficient = detections.shape[2] - layout.num_masks
    boxes = detections[..., :4].astype(np.float32)  # (B, A, 4)
    if layout.arrangement == "suppressed":
        scores = detections[..., 4]
    else:
        half_sides = boxes[..., 2:] / 2
        boxes = np.concatenate([boxes[..., :2] - half_sides, boxes[..., :2] + half_sides], axis=-1)
        scores = detections[..., 4:first_coefficient].max(axis=-1)
    return Raw(boxes, scores.astype(np.float32), detections[..., first_coefficient:], prototypes)


def _port(entry: onnxruntime.NodeArg) -> Port:
    kind = str(entry.type)
    dtype = _DTYPES.get(kind, kind.removeprefix("tensor(").removesuffix(")"))
    return Port(entry.name, dtype, tuple(axis if isinstance(axis, int) else None for axis in entry.shape))


def _tried(
    trial: onnxruntime.InferenceSession, images: Port, outputs: list[Port], shape: tuple[int, ...]
) -> list[Port]:
    """Return the outputs with the shapes of a run on grey images: files often declare nothing about dynamic axes."""
    grey = np.full(shape, 114 / 255, images.dtype)
    with quiet():
        try:
            arrays = trial.run([port.name for port in outputs], {images.name: grey})
        except RUN_ERRORS as error:
            raise UnknownLayout(f"cannot run images {shape}: {_first_line(error)}") from error
    return [
        Port(port.name, port.dtype, tuple(getattr(array, "shape", ())))
        for port, array in zip(outputs, arrays, strict=True)
    ]


def _stated_imgsz(metadata: Mapping[str, str]) -> int:
    """Return the larger side in the entry `imgsz`, a list as text, or `DEFAULT_IMGSZ` if it has no valid one."""
    sides = [int(side) for side in re.findall(r"\d{1,5}", metadata.get("imgsz", ""))]
    return max(sides) if sides and 32 <= max(sides) <= 4096 else DEFAULT_IMGSZ


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
