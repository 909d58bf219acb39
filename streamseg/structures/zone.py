"""What happened in a zone or at a line of one source, in one frame."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ZoneStatus"]


@dataclass(frozen=True)
class ZoneStatus:
    """State of a zone or line in one frame."""

    zone_id: str
    track_ids: tuple[int, ...] = ()
    """Objects inside the zone, ascending; empty for a line."""
    entered: tuple[int, ...] = ()
    """Objects that came into the zone with this frame, or crossed the line from its right to its left, seen from its
    start."""
    left: tuple[int, ...] = ()
    """Objects that left the zone with this frame or are no longer tracked, or crossed the line from left to right."""
    num_entered: int = 0
    """Number of all `entered` since the source began."""
    num_left: int = 0
    """Number of all `left` since the source began."""
