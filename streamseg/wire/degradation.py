"""Reduced quality of a frame as JSON: the `degradation` of a header."""

from __future__ import annotations

from typing import Any, Final

from streamseg.errors import WireError
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.wire import json_fields

__all__ = ["degradation_to_json", "parse_degradation"]

MAX_STEP: Final = 1000
"""Largest number of a step, and of frames per processed frame."""


def degradation_to_json(degradation: Degradation) -> dict[str, Any]:
    """Return a header's `degradation`: the step, and what differs from the configured quality."""
    values: dict[str, Any] = {"step": degradation.step}
    if degradation.plain_masks:
        values["plain_masks"] = True
    if degradation.imgsz_scale != 1:
        values["imgsz_scale"] = round(float(degradation.imgsz_scale), 4)
    if degradation.every_nth != 1:
        values["every_nth"] = degradation.every_nth
    return values


def parse_degradation(values: dict[str, Any]) -> Degradation:
    """Parse the `degradation` of a header; a header without it, of a version before 1.3, has none.

    Raises:
        WireError: a value is out of range or of the wrong type.
    """
    if "degradation" not in values:
        return NO_DEGRADATION
    given = json_fields.mapping(values, "degradation")
    scale = json_fields.number(given, "imgsz_scale") if "imgsz_scale" in given else 1.0
    if not 0 < scale <= 1:
        raise WireError(f"'imgsz_scale' must be above 0 and at most 1, got {scale:g}")
    is_plain = given.get("plain_masks", False)
    if not isinstance(is_plain, bool):
        raise WireError(f"'plain_masks' must be true or false, got {str(is_plain)[:40]!r}")
    return Degradation(
        step=json_fields.integer(given, "step", high=MAX_STEP),
        plain_masks=is_plain,
        imgsz_scale=scale,
        every_nth=json_fields.integer(given, "every_nth", low=1, high=MAX_STEP) if "every_nth" in given else 1,
    )
