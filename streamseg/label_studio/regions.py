"""Clicks and rectangles of Label Studio as prompts, and objects as its regions.

Label Studio's coordinates are percent of the image's width and height.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import numpy as np

from streamseg.datasets.polygons import mask_polygons
from streamseg.errors import DataError
from streamseg.label_studio.brush import encode_brush
from streamseg.label_studio.labels import LabelTags
from streamseg.structures.arrays import Float64Array
from streamseg.structures.message import MessageObject
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt

__all__ = ["MAX_REGIONS", "Context", "parse_context", "regions_of"]

MAX_REGIONS: Final = 1024
"""Maximum number of clicks and rectangles of one request."""
PROMPT_ID: Final = "context"
MIN_PART_SHARE: Final = 0.02
"""Share of an object's pixels below which one of its parts gets no polygon: specks, which somebody would have to delete
one by one. The largest part always gets a polygon."""


@dataclass(frozen=True)
class Context:
    """What somebody drew, to be completed to an object."""

    prompt: Prompt
    """The prompt; everything without clicks and rectangles."""
    label: str | None = None
    """The label that was chosen; None if there is none."""


def parse_context(context: Any, size: tuple[int, int]) -> Context:
    """Return what was drawn as one prompt: all clicks, or without clicks the last rectangle.

    A click belongs to the object unless its `is_positive` is 0 or false. The centre of a rectangle beside clicks is one
    more foreground point, because one prompt has one kind.

    Args:
        context: `params.context` of a request; None, or without regions: everything is wanted.
        size: (H, W) of the image.

    Raises:
        DataError: it is not what Label Studio sends.
    """
    results = (context or {}).get("result") if isinstance(context, Mapping | None) else 0
    if results is None:
        return Context(EverythingPrompt(PROMPT_ID))
    if not isinstance(results, list) or len(results) > MAX_REGIONS:
        raise DataError(f"context.result must be a list of at most {MAX_REGIONS} regions")
    points: list[tuple[float, float]] = []
    signs: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    label: str | None = None
    for region in results:
        kind, value = _kind_and_value(region)
        if kind is None:
            continue  # other regions, such as brush strokes, are no prompts
        found = value.get(kind)
        if isinstance(found, list) and found and isinstance(found[0], str):
            label = found[0]
        x, y = _pixels(value, "x", size[1]), _pixels(value, "y", size[0])
        if kind.startswith("keypoint"):
            points.append((x, y))
            signs.append(0 if region.get("is_positive") in (0, False, "0") else 1)
        else:
            boxes.append((x, y, x + _pixels(value, "width", size[1]), y + _pixels(value, "height", size[0])))
    if not points and not boxes:
        return Context(EverythingPrompt(PROMPT_ID))
    if not points:
        return Context(BoxPrompt(PROMPT_ID, boxes[-1]), label)
    centres = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes]
    return Context(PointPrompt(PROMPT_ID, (*points, *centres), (*signs, *[1] * len(centres))), label)


def _kind_and_value(region: Any) -> tuple[str | None, Mapping[str, Any]]:
    """Return the type of a click or rectangle and its value; None for other regions."""
    if not isinstance(region, Mapping):
        raise DataError(f"a region of context.result must be an object, got {str(region)[:60]}")
    kind, value = region.get("type"), region.get("value")
    if kind not in ("keypointlabels", "keypoint", "rectanglelabels", "rectangle"):
        return None, {}
    if not isinstance(value, Mapping):
        raise DataError(f"a region of type {kind} needs a value with x and y, got {str(value)[:60]}")
    if region.get("image_rotation"):
        raise DataError(f"the image is rotated by {region['image_rotation']} degrees; reset its rotation")
    if value.get("rotation"):
        raise DataError("a rotated rectangle cannot be a prompt; draw it upright")
    return kind, value


def _pixels(value: Mapping[str, Any], key: str, side: int) -> float:
    """Return a coordinate in pixels, clipped to the image with a margin of its own size; raises DataError."""
    percent = value.get(key)
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not math.isfinite(percent):
        raise DataError(f"{key} of a region must be a finite number in percent, got {str(percent)[:40]}")
    return min(max(float(percent), -100.0), 200.0) / 100 * side


def regions_of(
    objects: Sequence[MessageObject], tags: LabelTags, size: tuple[int, int], label: str | None
) -> list[dict[str, Any]]:
    """Return objects as regions of Label Studio; those without a pixel are omitted.

    Args:
        objects: with masks at the size of the image.
        tags: the labelling configuration.
        size: (H, W) of the image.
        label: label of the regions; None, or one that the tag does not have: its first one.
    """
    height, width = size
    chosen = label if label in tags.labels else tags.labels[0]
    regions = []
    for one in objects:
        if not one.mask.area:
            continue
        region = {
            "from_name": tags.from_name,
            "to_name": tags.to_name,
            "type": tags.kind,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": round(one.score, 4),
        }
        values: list[dict[str, Any]]
        if tags.kind == "brushlabels":
            values = [{"format": "rle", "rle": encode_brush(one.mask.full(size))}]
        else:
            largest, *others = mask_polygons(one.mask)
            polygons = [largest, *(ring for ring in others if _area(ring) >= MIN_PART_SHARE * one.mask.area)]
            values = [
                {"points": [[x / width * 100, y / height * 100] for x, y in ring.tolist()], "closed": True}
                for ring in polygons
            ]
        regions += [{**region, "id": uuid4().hex[:10], "value": {**value, tags.kind: [chosen]}} for value in values]
    return regions


def _area(ring: Float64Array) -> float:
    """Return the area of a polygon (N, 2) xy by the shoelace formula."""
    x, y = ring.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
