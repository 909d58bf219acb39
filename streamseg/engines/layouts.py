"""What a graph written by another program takes and gives, recognised by its shapes.

Names and order of the outputs say nothing: programs rename and swap them. With the input's size known, shapes
say it all: prototypes lie on a grid of H / 4 by W / 4, and strides 8, 16 and 32 make A = 21 H W / 1024 anchors.

Known are the graphs of YOLOv8-seg's form, FastSAM's among them, as ultralytics writes them:

    images (B, 3, H, W) RGB 0..1 → (B, 4 + classes + masks, A): xywh in input pixels, a score per class after the
                                   sigmoid, mask coefficients; or the same as (B, A, 4 + classes + masks)
                                 → or, with NMS inside, (B, rows, 6 + masks): xyxy, score, class, mask coefficients,
                                   the best first, rows of zeros behind
                                 → and prototypes (B, masks, H / 4, W / 4)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamseg.modeling.network import PROTOTYPE_STRIDE, STRIDES

__all__ = ["ALLOWED", "Layout", "Port", "UnknownLayout", "num_anchors", "recognise", "shown"]

ALLOWED = (
    "graphs of `streamseg export`, and segmentation graphs of YOLOv8-seg's form: "
    "images float32 or float16 (B, 3, H, W) → (B, 4 + classes + masks, anchors), or with NMS inside "
    "(B, rows, 6 + masks), and prototypes (B, masks, H/4, W/4)"
)

Arrangement = Literal["anchors last", "anchors first", "suppressed"]

_BOX, _SUPPRESSED_HEAD = 4, 6
"""Numbers before the classes' scores, and (xyxy, score, class) before the coefficients of a suppressed row."""


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph."""

    name: str
    dtype: str
    """As NumPy calls it where that is a number: float32, float16, uint8 …"""
    shape: tuple[int | None, ...]
    """None where the graph leaves an axis free."""

    def __str__(self) -> str:
        axes = ", ".join("?" if size is None else str(size) for size in self.shape)
        name = " ".join(self.name.split())
        return f"{name if len(name) <= 40 else f'{name[:40]}…'} {self.dtype} ({axes})"


@dataclass(frozen=True)
class Layout:
    """How to feed a graph and read its answer."""

    images: str
    """Name of the input."""
    dtype: str
    """Of the input: float32 or float16."""
    detections: str
    prototypes: str
    """Names of the outputs."""
    arrangement: Arrangement
    num_masks: int
    input_size: tuple[int, int] | None
    """The only (H, W) that the graph takes; None for any in multiples of 32."""
    num_images: int | None
    """The only batch that the graph takes; None for any up to `max_batch`."""
    max_batch: int | None
    """None for any."""


class UnknownLayout(ValueError):
    """A graph that is not of a known form; the text says why, after "it"."""


def shown(inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """Inputs and outputs in one line."""
    return f"{_listed(inputs)} → {_listed(outputs)}"


def _listed(ports: Sequence[Port]) -> str:
    rest = [f"and {len(ports) - 6} more"] if len(ports) > 6 else []
    return "; ".join([*map(str, ports[:6]), *rest]) or "nothing"


def num_anchors(input_size: tuple[int, int]) -> int:
    """Cells of all levels for an input of (H, W), multiples of the largest stride."""
    return sum((input_size[0] // stride) * (input_size[1] // stride) for stride in STRIDES)


def check_input(inputs: Sequence[Port]) -> None:
    """Raise UnknownLayout unless there is one input (B, 3, H, W) of floats, whose H and W are both free or both fit."""
    if len(inputs) != 1:
        raise UnknownLayout(f"takes {len(inputs)} inputs, not one")
    (images,) = inputs
    if len(images.shape) != 4:
        raise UnknownLayout(f"takes arrays of {len(images.shape)} axes, not pictures (B, 3, H, W)")
    if images.dtype not in ("float32", "float16"):
        raise UnknownLayout(f"takes pictures of {images.dtype}, not of float32 or float16")
    _, channels, height, width = images.shape
    if channels != 3:
        if images.shape[3] == 3:
            raise UnknownLayout("takes pictures with their channels last, not (B, 3, H, W)")
        found = "an open number of channels" if channels is None else f"{channels} channel{'s' * (channels != 1)}"
        raise UnknownLayout(f"takes pictures of {found}, not of 3")
    if (height is None) != (width is None):
        raise UnknownLayout("leaves one of height and width free, not both or none")
    if height is not None and width is not None and (height % max(STRIDES) or width % max(STRIDES) or not height):
        raise UnknownLayout(f"takes pictures of {height}x{width} pixels (H x W), no multiples of {max(STRIDES)}")


def recognise(
    inputs: Sequence[Port], outputs: Sequence[Port], size: tuple[int, int], metadata: Mapping[str, str]
) -> Layout:
    """Find boxes, scores, coefficients and prototypes among the outputs.

    Where a width fits two readings (a graph of two classes has rows as wide as one with NMS inside), the number
    of rows decides, and what the metadata say of NMS where even that agrees; where it equals the number of anchors,
    ultralytics' own order (B, 4 + classes + masks, A) goes first.

    Args:
        inputs: as the graph declares them.
        outputs: with every axis known, for one picture of `size` (or as many as the graph insists on).
        size: (H, W) of the input that the outputs belong to.
        metadata: of the file; ultralytics writes `task`, `batch`, `end2end` and `args`, others nothing.

    Raises:
        UnknownLayout: the graph is of another task, or of a form that is not known.
    """
    check_input(inputs)
    (images,) = inputs
    task = metadata.get("task", "segment")
    if task != "segment":
        raise UnknownLayout(f"is made for task {task!r}, not for 'segment'")
    suppresses = metadata.get("end2end", "").lower() == "true" or states(metadata, "nms")
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
        raise UnknownLayout(
            "has several outputs that could be meant" if pairs else _what_is_missing(outputs, num_anchors(size), size)
        )
    detections, prototypes, arrangement = pairs[0]
    for port in (detections, prototypes):
        if port.dtype not in ("float32", "float16"):
            raise UnknownLayout(f"answers in {port.dtype}, not in float32 or float16")
    batch, _, height, width = images.shape
    # With NMS inside, ultralytics' graphs answer as many pictures as they were exported for, whatever their axes
    # say: those behind them get rows of zeros.
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


def states(metadata: Mapping[str, str], flag: str) -> bool:
    """Whether the export's arguments, a Python dictionary as text in entry `args`, say that `flag` was set."""
    return re.search(rf"['\"]{flag}['\"]\s*:\s*True\b", metadata.get("args", "")) is not None


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


def _what_is_missing(outputs: Sequence[Port], anchors: int, size: tuple[int, int]) -> str:
    ranks = [len(port.shape) for port in outputs]
    if 4 not in ranks:
        if 3 in ranks:
            return "is a detection graph: it gives boxes, and no prototypes for masks"
        if ranks == [2]:
            return "is a classification graph: it gives one score per class and picture"
    for port in outputs:
        if len(port.shape) == 3 and 3 * anchors in port.shape[1:]:
            return f"has {3 * anchors} anchors, three per cell as YOLOv5 and YOLOv7 have, not {anchors}"
    return f"has no outputs that fit {anchors} anchors and a grid of {size[0] // 4}x{size[1] // 4} for its input"
