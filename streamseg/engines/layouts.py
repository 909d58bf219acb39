"""Recognition of the inputs and outputs of third-party graphs by their shapes.

Names and order of the outputs carry no information, because programs rename and swap them. Given the input size, the
shapes are sufficient: prototypes lie on a grid of H / 4 by W / 4, and strides 8, 16 and 32 make A = 21 H W / 1024
anchors.

Supported are graphs of the form of YOLOv8-seg, including FastSAM, as written by ultralytics:

    images (B, 3, H, W) RGB 0..1 → (B, 4 + classes + masks, A): xywh in input pixels, a score per class after the
                                   sigmoid, mask coefficients; or the same as (B, A, 4 + classes + masks)
                                 → or, with built-in NMS, (B, rows, 6 + masks): xyxy, score, class, mask coefficients,
                                   best first, padded with rows of zeros
                                 → and prototypes (B, masks, H / 4, W / 4)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamseg.modeling.network import PROTOTYPE_STRIDE, STRIDES

__all__ = ["ALLOWED", "Layout", "Port", "UnknownLayout", "format_ports", "num_anchors", "recognise"]

ALLOWED = (
    "graphs of `streamseg export`, and segmentation graphs of the form of YOLOv8-seg: "
    "images float32 or float16 (B, 3, H, W) → (B, 4 + classes + masks, anchors), or with built-in NMS "
    "(B, rows, 6 + masks), and prototypes (B, masks, H/4, W/4)"
)

Arrangement = Literal["anchors last", "anchors first", "suppressed"]

_BOX, _SUPPRESSED_HEAD = 4, 6
"""Number of values before the class scores, and before the coefficients of a suppressed row (xyxy, score, class)."""


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph."""

    name: str
    dtype: str
    """NumPy name of a numeric type, such as float32, float16 or uint8; else ONNX Runtime's name."""
    shape: tuple[int | None, ...]
    """Size of each axis; None for a dynamic axis."""

    def __str__(self) -> str:
        axes = ", ".join("?" if size is None else str(size) for size in self.shape)
        name = " ".join(self.name.split())
        return f"{name if len(name) <= 40 else f'{name[:40]}…'} {self.dtype} ({axes})"


@dataclass(frozen=True)
class Layout:
    """Inputs and outputs of a graph: how to feed it, and how to read its outputs."""

    images: str
    """Name of the input."""
    dtype: str
    """Type of the input: float32 or float16."""
    detections: str
    """Name of the output with boxes, scores and coefficients."""
    prototypes: str
    """Name of the output with prototypes."""
    arrangement: Arrangement
    """Axis order of the detections, or `suppressed` for rows that passed built-in NMS."""
    num_masks: int
    """Number of prototypes, and of coefficients per row."""
    input_size: tuple[int, int] | None
    """The only supported input size (H, W); None for any multiples of 32."""
    num_images: int | None
    """The only supported batch size; None for any up to `max_batch`."""
    max_batch: int | None
    """Maximum batch size; None if unlimited."""


class UnknownLayout(ValueError):
    """Raised for a graph of an unsupported form. The message is a predicate that continues "it …"."""


def format_ports(inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """Format inputs and outputs in one line."""
    return f"{_listed(inputs)} → {_listed(outputs)}"


def _listed(ports: Sequence[Port]) -> str:
    rest = [f"and {len(ports) - 6} more"] if len(ports) > 6 else []
    return "; ".join([*map(str, ports[:6]), *rest]) or "nothing"


def num_anchors(input_size: tuple[int, int]) -> int:
    """Return the number of cells of all levels for an input of (H, W), multiples of the largest stride."""
    return sum((input_size[0] // stride) * (input_size[1] // stride) for stride in STRIDES)


def check_input(inputs: Sequence[Port]) -> None:
    """Raise UnknownLayout unless the graph has one float input (B, 3, H, W) of a supported size.

    H and W must be both dynamic, or both multiples of the largest stride.
    """
    if len(inputs) != 1:
        raise UnknownLayout(f"takes {len(inputs)} inputs, not one")
    (images,) = inputs
    if len(images.shape) != 4:
        raise UnknownLayout(f"takes arrays of {len(images.shape)} axes, not images (B, 3, H, W)")
    if images.dtype not in ("float32", "float16"):
        raise UnknownLayout(f"takes images of {images.dtype}, not of float32 or float16")
    _, channels, height, width = images.shape
    if channels != 3:
        if images.shape[3] == 3:
            raise UnknownLayout("takes images with channels last, not (B, 3, H, W)")
        found = "a dynamic number of channels" if channels is None else f"{channels} channel{'s' * (channels != 1)}"
        raise UnknownLayout(f"takes images with {found}, not 3")
    if (height is None) != (width is None):
        raise UnknownLayout("has one dynamic axis among height and width, not both or none")
    if height is not None and width is not None and (height % max(STRIDES) or width % max(STRIDES) or not height):
        raise UnknownLayout(f"takes images of {height}x{width} pixels (H x W), not multiples of {max(STRIDES)}")


def recognise(
    inputs: Sequence[Port], outputs: Sequence[Port], size: tuple[int, int], metadata: Mapping[str, str]
) -> Layout:
    """Find boxes, scores, coefficients and prototypes among the outputs.

    A row width can be ambiguous: the rows of a graph of two classes are as wide as those of a graph with built-in NMS.
    The number of rows then decides, or, if that agrees too, the statement about NMS in the metadata. If the width
    equals the number of anchors, the order of ultralytics (B, 4 + classes + masks, A) takes precedence.

    Args:
        inputs: inputs as declared by the graph.
        outputs: outputs with every axis known, for one image of `size` (or for the fixed batch of the graph).
        size: (H, W) of the input that the outputs belong to.
        metadata: metadata of the file; ultralytics writes `task`, `batch`, `end2end` and `args`, others nothing.

    Raises:
        UnknownLayout: the graph is of another task or of an unsupported form.
    """
    check_input(inputs)
    (images,) = inputs
    task = metadata.get("task", "segment")
    if task != "segment":
        raise UnknownLayout(f"is made for task {task!r}, not 'segment'")
    suppresses = metadata.get("end2end", "").lower() == "true" or export_flag(metadata, "nms")
    pairs = [
        (detections, prototypes, arrangement)
        for prototypes in outputs
        if len(prototypes.shape) == 4
        and prototypes.shape[2:] == (size[0] // PROTOTYPE_STRIDE, size[1] // PROTOTYPE_STRIDE)
        for detections in outputs
        if len(detections.shape) == 3
        and (arrangement := _arrangement(detections.shape, prototypes.shape[1] or 0, num_anchors(size), suppresses))
    ]
    if len(pairs) != 1:
        raise UnknownLayout("has several outputs that match" if pairs else _mismatch(outputs, num_anchors(size), size))
    detections, prototypes, arrangement = pairs[0]
    for port in (detections, prototypes):
        if port.dtype not in ("float32", "float16"):
            raise UnknownLayout(f"returns {port.dtype}, not float32 or float16")
    batch, _, height, width = images.shape
    # With built-in NMS, graphs of ultralytics process as many images as they were exported for, whatever their axes
    # declare: further images get rows of zeros.
    stated = metadata.get("batch", "")
    most = (int(stated) if stated.isdecimal() and len(stated) < 6 else 1) or 1
    return Layout(
        images=images.name,
        dtype=images.dtype,
        detections=detections.name,
        prototypes=prototypes.name,
        arrangement=arrangement,
        num_masks=prototypes.shape[1] or 0,
        input_size=(height, width) if height is not None and width is not None else None,
        num_images=batch,
        max_batch=batch or (most if arrangement == "suppressed" else None),
    )


def export_flag(metadata: Mapping[str, str], flag: str) -> bool:
    """Return whether the export arguments, a Python dictionary as text in the entry `args`, set `flag`."""
    return re.search(rf"['\"]{flag}['\"]\s*:\s*True\b", metadata.get("args", "")) is not None


def exported_in_half(metadata: Mapping[str, str]) -> bool:
    """Return whether the export arguments request 16 bits; ultralytics then keeps float32 inputs and outputs."""
    return export_flag(metadata, "half") or re.search(r"'quantize'\s*:\s*16\b", metadata.get("args", "")) is not None


def _arrangement(shape: tuple[int | None, ...], num_masks: int, anchors: int, suppresses: bool) -> Arrangement | None:
    _, rows, columns = shape
    least = _BOX + 1 + num_masks
    if rows is None or columns is None or not num_masks:
        return None
    if columns == _SUPPRESSED_HEAD + num_masks and (suppresses or rows != anchors):
        return "suppressed"
    if suppresses:
        return None
    if columns == anchors and rows >= least:
        return "anchors last"
    if rows == anchors and columns >= least:
        return "anchors first"
    return None


def _mismatch(outputs: Sequence[Port], anchors: int, size: tuple[int, int]) -> str:
    """Return why no outputs match, as a predicate."""
    ranks = [len(port.shape) for port in outputs]
    if 4 not in ranks:
        if 3 in ranks:
            return "is a detection graph: it returns boxes, but no mask prototypes"
        if ranks == [2]:
            return "is a classification graph: it returns one score per class and image"
    for port in outputs:
        if len(port.shape) == 3 and 3 * anchors in port.shape[1:]:
            return f"has {3 * anchors} anchors, three per cell as in YOLOv5 and YOLOv7, not {anchors}"
    return f"has no outputs that match {anchors} anchors and a grid of {size[0] // 4}x{size[1] // 4} for its input"
