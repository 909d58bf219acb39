"""Topics and payloads: JSON states, and the discovery messages with which Home Assistant creates entities.

All topics are retained, so that a client that connects later knows the state at once:

    PREFIX/status                  online | offline (the broker's last will)
    PREFIX/SOURCE/status           state of a source, as in `structures.source_status`: live, stalled, waiting, …
    PREFIX/SOURCE/PROMPT/presence  {"presence": "lost", "since": "2026-01-31T12:00:00.250Z", "confidence": 0.0,
                                    "x": 0.41, "y": 0.77, "box": [0.3, 0.6, 0.5, 0.9], "track_id": 7}

    PREFIX/SOURCE/ZONE/zone        {"track_ids": [3, 8], "num_inside": 2, "num_entered": 5, "num_left": 3}

x, y and box are fractions of the image's width and height; they keep the last place of an object that is lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, unquote

from streamseg.mqtt.presence import PRESENCES, Presence
from streamseg.structures.source_status import SOURCE_STATES
from streamseg.structures.zone import ZoneStatus

__all__ = [
    "OFFLINE",
    "ONLINE",
    "Subject",
    "Topics",
    "entities_of",
    "presence_json",
    "prompt_entities",
    "source_entity",
    "zone_entities",
    "zone_json",
]

ONLINE: Final = "online"
OFFLINE: Final = "offline"

_PRESENCE: Final[Literal["presence"]] = "presence"
_STATUS: Final[Literal["status"]] = "status"
_ZONE: Final[Literal["zone"]] = "zone"
DELIVERING: Final = ("live", "frozen")
"""States of a source in which its objects are known."""


class Subject(NamedTuple):
    """What a topic below that of the run is about."""

    kind: Literal["status", "presence", "zone"]
    """The last level of the topic."""
    source_id: str
    name: str = ""
    """Id of the prompt, zone or line; "" for the state of a source."""


class Topics:
    """Names of the topics of one run.

    Args:
        prefix: first levels of all topics.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    @property
    def status(self) -> str:
        """Topic of the run."""
        return f"{self._prefix}/{_STATUS}"

    def source_status(self, source_id: str) -> str:
        """Topic of a source's state."""
        return f"{self._prefix}/{_level(source_id)}/{_STATUS}"

    def presence(self, source_id: str, prompt_id: str) -> str:
        """Topic of an object's presence."""
        return f"{self._prefix}/{_level(source_id)}/{_level(prompt_id)}/{_PRESENCE}"

    def zone(self, source_id: str, zone_id: str) -> str:
        """Topic of a zone or line."""
        return f"{self._prefix}/{_level(source_id)}/{_level(zone_id)}/{_ZONE}"

    def of(self, subject: Subject) -> str:
        """Return the topic of a subject."""
        if subject.kind == _STATUS:
            return self.source_status(subject.source_id)
        return f"{self._prefix}/{_level(subject.source_id)}/{_level(subject.name)}/{subject.kind}"

    @property
    def filters(self) -> tuple[str, ...]:
        """Filters that match the topics of all subjects."""
        return f"{self._prefix}/+/{_STATUS}", f"{self._prefix}/+/+/{_PRESENCE}", f"{self._prefix}/+/+/{_ZONE}"

    def parse(self, topic: str) -> Subject | None:
        """Return the subject of a topic; None for another topic."""
        if not topic.startswith(f"{self._prefix}/"):
            return None
        *ids, kind = topic.removeprefix(f"{self._prefix}/").split("/")
        if kind == _STATUS and len(ids) == 1:
            return Subject(_STATUS, unquote(ids[0]))
        if kind in (_PRESENCE, _ZONE) and len(ids) == 2:
            return Subject(_PRESENCE if kind == _PRESENCE else _ZONE, unquote(ids[0]), unquote(ids[1]))
        return None

    def entity_id(self, *ids: str) -> str:
        """Return an id of letters, digits, `_` and `-` only, unique for a prefix, source id and prompt id."""
        text = "_".join((self._prefix, *ids))
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)
        # Two ids that differ in other characters only, or in the place of a separator, must not share an entity.
        return f"{plain[:60]}_{hashlib.sha256(json.dumps([self._prefix, *ids]).encode()).hexdigest()[:8]}"


def _level(name: str) -> str:
    """Return a name as one level of a topic: no separator and no wildcard."""
    return quote(name, safe=" ")


def presence_json(presence: Presence) -> str:
    """Return a presence as JSON."""
    return json.dumps(
        {
            "presence": presence.state,
            "since": None if presence.since_ns is None else _iso(presence.since_ns),
            "confidence": round(presence.confidence, 3),
            "x": None if presence.centroid is None else presence.centroid[0],
            "y": None if presence.centroid is None else presence.centroid[1],
            "box": presence.box,
            "track_id": presence.track_id,
        }
    )


def zone_json(zone: ZoneStatus) -> str:
    """Return the state of a zone or line as JSON, without what happened in a single frame."""
    return json.dumps(
        {
            "track_ids": zone.track_ids,
            "num_inside": len(zone.track_ids),
            "num_entered": zone.num_entered,
            "num_left": zone.num_left,
        }
    )


def _iso(stamp_ns: int) -> str:
    """Return a wall clock time (ns since the Unix epoch) in ISO 8601, in UTC, to milliseconds."""
    stamp = datetime.fromtimestamp(stamp_ns // 1_000_000 / 1000, tz=UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def prompt_entities(
    topics: Topics, discovery_prefix: str, source_id: str, prompt_id: str, version: str
) -> dict[str, str]:
    """Return the discovery messages, by topic, of the entities of one prompt: is it there, its state, since when.

    Args:
        topics: topics of the run.
        discovery_prefix: the first level that Home Assistant listens to.
        source_id: source of the images.
        prompt_id: prompt whose object is reported.
        version: version of this program, displayed in Home Assistant.
    """
    state_topic = topics.presence(source_id, prompt_id)
    shared = {"state_topic": state_topic, **_while_delivering(topics, source_id), **_about(topics, source_id, version)}
    entities: dict[tuple[str, str], dict[str, Any]] = {
        ("binary_sensor", "present"): {
            "name": prompt_id,
            "device_class": "occupancy",
            "value_template": "{{ 'ON' if value_json.presence in ['seen', 'back'] else 'OFF' }}",
            "json_attributes_topic": state_topic,
        },
        ("sensor", "presence"): {
            "name": f"{prompt_id} presence",
            "device_class": "enum",
            "options": list(PRESENCES),
            "value_template": "{{ value_json.presence }}",
        },
        ("sensor", "since"): {
            "name": f"{prompt_id} since",
            "device_class": "timestamp",
            "value_template": "{{ value_json.since }}",
        },
    }
    return _discovery(topics, discovery_prefix, shared, entities, (source_id, prompt_id))


def zone_entities(
    topics: Topics, discovery_prefix: str, source_id: str, zone_id: str, version: str, *, is_line: bool = False
) -> dict[str, str]:
    """Return the discovery messages, by topic, of the counts of one zone or line.

    Arguments as in `prompt_entities`. Nothing is inside a line: the message of that sensor is empty, which deletes it.
    """
    shared = {
        "state_topic": topics.zone(source_id, zone_id),
        **_while_delivering(topics, source_id),
        **_about(topics, source_id, version),
    }
    entities: dict[tuple[str, str], dict[str, Any] | None] = {
        ("sensor", name): {
            "name": f"{zone_id} {words}",
            "state_class": state_class,
            "value_template": f"{{{{ value_json.{name} }}}}",
        }
        for name, words, state_class in (
            ("num_inside", "objects", "measurement"),
            ("num_entered", "entered", "total_increasing"),
            ("num_left", "left", "total_increasing"),
        )
    }
    if is_line:
        entities["sensor", "num_inside"] = None
    return _discovery(topics, discovery_prefix, shared, entities, (source_id, "zone", zone_id))


def _while_delivering(topics: Topics, source_id: str) -> dict[str, Any]:
    """Return the availability of what is known while the run is online and the source delivers frames."""
    return {
        "availability": [
            {"topic": topics.status},
            {
                "topic": topics.source_status(source_id),
                "value_template": f"{{{{ '{ONLINE}' if value in {list(DELIVERING)} else '{OFFLINE}' }}}}",
            },
        ],
        "availability_mode": "all",
    }


def source_entity(topics: Topics, discovery_prefix: str, source_id: str, version: str) -> dict[str, str]:
    """Return the discovery message, by topic, of the entity that tells the state of a source."""
    shared = {
        "state_topic": topics.source_status(source_id),
        "availability_topic": topics.status,
        **_about(topics, source_id, version),
    }
    entity = {"name": "camera", "device_class": "enum", "options": list(SOURCE_STATES)}
    return _discovery(topics, discovery_prefix, shared, {("sensor", "camera"): entity}, (source_id,))


def entities_of(
    topics: Topics, discovery_prefix: str, subject: Subject, version: str, *, is_line: bool = False
) -> dict[str, str]:
    """Return the discovery messages, by topic, of the entities of a subject; arguments as in `zone_entities`."""
    if subject.kind == _STATUS:
        return source_entity(topics, discovery_prefix, subject.source_id, version)
    if subject.kind == _PRESENCE:
        return prompt_entities(topics, discovery_prefix, subject.source_id, subject.name, version)
    return zone_entities(topics, discovery_prefix, subject.source_id, subject.name, version, is_line=is_line)


def _about(topics: Topics, source_id: str, version: str) -> dict[str, Any]:
    """Return the device of a source's entities, and the program."""
    return {
        "device": {
            "identifiers": [topics.entity_id(source_id)],
            "name": f"streamseg {source_id}",
            "manufacturer": "streamseg",
            "sw_version": version,
        },
        "origin": {"name": "streamseg", "sw_version": version},
    }


def _discovery(
    topics: Topics,
    prefix: str,
    shared: Mapping[str, Any],
    entities: Mapping[tuple[str, str], Mapping[str, Any] | None],
    ids: tuple[str, ...],
) -> dict[str, str]:
    """Return discovery messages by topic; entities are given by (component, name), None for one to be deleted."""
    messages = {}
    for (component, name), entity in entities.items():
        unique_id = topics.entity_id(*ids, name)
        messages[f"{prefix}/{component}/{unique_id}/config"] = (
            "" if entity is None else json.dumps({**entity, **shared, "unique_id": unique_id}, ensure_ascii=False)
        )
    return messages
