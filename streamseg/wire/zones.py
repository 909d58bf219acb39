"""Zones and lines as JSON: the `zones` of a header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamseg.errors import WireError
from streamseg.structures.zone import ZoneStatus
from streamseg.wire import json_fields
from streamseg.wire.json_fields import MAX_OBJECTS, MAX_SEQ

__all__ = ["parse_zones", "zones_to_json"]

MAX_ZONES: Final = 1024


def zones_to_json(zones: Sequence[ZoneStatus]) -> list[dict[str, Any]]:
    """Return the `zones` of a header; lists without an object are left out."""
    return [
        {
            "id": zone.zone_id,
            **{key: list(ids) for key, ids in _ids(zone).items() if ids},
            "num_entered": zone.num_entered,
            "num_left": zone.num_left,
        }
        for zone in zones
    ]


def _ids(zone: ZoneStatus) -> dict[str, tuple[int, ...]]:
    return {"track_ids": zone.track_ids, "entered": zone.entered, "left": zone.left}


def parse_zones(values: dict[str, Any]) -> tuple[ZoneStatus, ...]:
    """Parse the `zones` of a header; a header without them, also one of a version before 1.4, has none.

    Raises:
        WireError: a value is missing, out of range or of the wrong type.
    """
    if "zones" not in values:
        return ()
    return tuple(_parse_zone(zone) for zone in json_fields.items(values, "zones", MAX_ZONES))


def _parse_zone(values: Any) -> ZoneStatus:
    if not isinstance(values, dict):
        raise WireError(f"each of 'zones' must be a JSON object, got {type(values).__name__}")
    return ZoneStatus(
        zone_id=json_fields.text(values, "id"),
        track_ids=_track_ids(values, "track_ids"),
        entered=_track_ids(values, "entered"),
        left=_track_ids(values, "left"),
        num_entered=json_fields.integer(values, "num_entered", high=MAX_SEQ),
        num_left=json_fields.integer(values, "num_left", high=MAX_SEQ),
    )


def _track_ids(values: dict[str, Any], key: str) -> tuple[int, ...]:
    if key not in values:
        return ()
    ids = json_fields.items(values, key, MAX_OBJECTS)
    return tuple(json_fields.integer({key: track_id}, key) for track_id in ids)
