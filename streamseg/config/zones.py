"""Configuration section of zones and lines."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from streamseg.config.sources import SOURCE_ID_PATTERN, Section

__all__ = ["ZoneConfig"]

Share = Annotated[float, Field(ge=0, le=1)]


class ZoneConfig(Section):
    """A zone whose objects are reported, or a line whose crossings are counted. Requires the extra `zones`."""

    id: str = Field(pattern=SOURCE_ID_PATTERN)
    source: str | None = None
    """Source that it belongs to; None: every source, independently."""
    polygon: tuple[tuple[Share, Share], ...] | None = Field(default=None, min_length=3, max_length=100)
    """Corners [x, y] of a zone, as fractions of the image's width and height."""
    line: tuple[tuple[Share, Share], tuple[Share, Share]] | None = None
    """Start and end [x, y] of a line, as fractions of the image's width and height."""
    prompt: str | None = None
    """Prompt whose objects count; None: all objects of the messages."""
    anchor: Literal["bottom", "center"] = "bottom"
    """Point of an object's box that must be inside or cross: the middle of its lower side, where something stands, or
    its centre."""
    hold_s: float = Field(default=1.0, ge=0, le=3600)
    """Time that an object inside a zone may be hidden without having left it."""

    @model_validator(mode="after")
    def _either_polygon_or_line(self) -> ZoneConfig:
        if (self.polygon is None) == (self.line is None):
            raise ValueError("give either polygon, for a zone, or line")
        if self.line is not None and self.line[0] == self.line[1]:
            raise ValueError("the start and the end of a line must differ")
        if self.polygon is not None and _area(self.polygon) == 0:
            raise ValueError("the corners of a polygon must not lie on one line")
        return self


def _area(polygon: tuple[tuple[float, float], ...]) -> float:
    """Return the area of a polygon by the shoelace formula."""
    closed = (*polygon, polygon[0])
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(closed))) / 2
