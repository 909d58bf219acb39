"""Zones and lines of all sources: which objects are inside, came, went, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from streamseg.config.zones import ZoneConfig
from streamseg.errors import ConfigError
from streamseg.structures.message import Message, MessageObject
from streamseg.structures.zone import ZoneStatus

__all__ = ["ZoneBook", "require_zones"]

NS_PER_SECOND = 1_000_000_000


def require_zones() -> None:
    """Raise ConfigError if supervision is not installed."""
    _library()


class ZoneBook:
    """Updates the zones of each source frame by frame. Tentative objects, with track id -1, do not count.

    Geometry is supervision's (`PolygonZone`, `LineZone`); this class adds the sources, times and totals. If the image
    size of a source changes, its zones follow, and their totals remain.

    Args:
        zones: the configured zones and lines; ids are unique.

    Raises:
        ConfigError: supervision is not installed.
    """

    def __init__(self, zones: Sequence[ZoneConfig]) -> None:
        self._library = _library() if zones else None
        self._zones = tuple(zones)
        self._counters: dict[str, list[_Counter]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def update(self, message: Message) -> tuple[ZoneStatus, ...]:
        """Return the states of the zones of a message's source, in the order of the configuration."""
        source_id = message.source_id
        if source_id not in self._counters:
            own = [zone for zone in self._zones if zone.source in (None, source_id)]
            self._counters[source_id] = [_counter(self._library, zone) for zone in own]
        counters = self._counters[source_id]
        if counters and self._sizes.get(source_id) != message.image_size:
            self._sizes[source_id] = message.image_size
            for counter in counters:
                counter.resize(message.image_size)
        return tuple(counter.update(message) for counter in counters)

    def forget(self, source_id: str) -> None:
        """Forget a source that ended; its totals begin anew if it returns."""
        self._counters.pop(source_id, None)
        self._sizes.pop(source_id, None)


class _Counter(Protocol):
    """One zone or line of one source."""

    def resize(self, image_size: tuple[int, int]) -> None:
        """Take the size (H, W) of the images to come."""

    def update(self, message: Message) -> ZoneStatus:
        """Take one frame."""


def _counter(library: Any, zone: ZoneConfig) -> _Counter:
    return _Zone(library, zone) if zone.polygon is not None else _Line(library, zone)


class _Zone:
    """A polygon, and the objects inside."""

    def __init__(self, library: Any, zone: ZoneConfig) -> None:
        self._library = library
        self._config = zone
        self._zone: Any = None
        self._inside: dict[int, int] = {}
        """Capture time (ns) of the last frame in which an object was seen inside, by track id."""
        self._num_entered = self._num_left = 0

    def resize(self, image_size: tuple[int, int]) -> None:
        """See `_Counter`."""
        assert self._config.polygon is not None
        polygon = np.array(self._config.polygon) * (image_size[1], image_size[0])
        self._zone = self._library.PolygonZone(polygon.round().astype(np.int64), _anchors(self._library, self._config))

    def update(self, message: Message) -> ZoneStatus:
        """See `_Counter`."""
        now = message.captured_ns
        found = _tracked(message, self._config.prompt)
        is_inside = self._zone.trigger(_detections(self._library, found)) if found else ()
        here = {one.track_id for one, inside in zip(found, is_inside, strict=True) if inside}
        seen = {one.track_id for one in found}
        entered = sorted(here - self._inside.keys())
        # Visible elsewhere: left. Not visible: left after a while; a clock that is set back must not hold it for ever.
        hold_ns = round(self._config.hold_s * NS_PER_SECOND)
        left = sorted(
            track_id
            for track_id, at in self._inside.items()
            if track_id not in here and (track_id in seen or not 0 <= now - at <= hold_ns)
        )
        for track_id in left:
            del self._inside[track_id]
        self._inside.update(dict.fromkeys(here, now))
        self._num_entered += len(entered)
        self._num_left += len(left)
        return ZoneStatus(
            self._config.id, tuple(sorted(self._inside)), tuple(entered), tuple(left), self._num_entered, self._num_left
        )


class _Line:
    """A line, and the objects that cross it."""

    def __init__(self, library: Any, zone: ZoneConfig) -> None:
        self._library = library
        self._config = zone
        self._line: Any = None
        self._num_entered = self._num_left = 0

    def resize(self, image_size: tuple[int, int]) -> None:
        """See `_Counter`."""
        assert self._config.line is not None
        start, end = (self._library.Point(x * image_size[1], y * image_size[0]) for x, y in self._config.line)
        self._line = self._library.LineZone(start, end, _anchors(self._library, self._config))

    def update(self, message: Message) -> ZoneStatus:
        """See `_Counter`."""
        found = _tracked(message, self._config.prompt)
        # Frames without objects are counted too: the line forgets objects that are absent for some frames.
        crossed_in, crossed_out = self._line.trigger(_detections(self._library, found))
        entered = tuple(sorted(one.track_id for one, crossed in zip(found, crossed_in, strict=True) if crossed))
        left = tuple(sorted(one.track_id for one, crossed in zip(found, crossed_out, strict=True) if crossed))
        self._num_entered += len(entered)
        self._num_left += len(left)
        return ZoneStatus(self._config.id, (), entered, left, self._num_entered, self._num_left)


def _tracked(message: Message, prompt_id: str | None) -> list[MessageObject]:
    """Return the objects that count, one per track id."""
    found = message.objects if prompt_id is None else message.of(prompt_id)
    return list({one.track_id: one for one in reversed(found) if one.track_id >= 0}.values())


def _detections(library: Any, found: Sequence[MessageObject]) -> Any:
    if not found:
        return library.Detections.empty()
    return library.Detections(
        xyxy=np.array([one.box for one in found], dtype=np.float32),
        tracker_id=np.array([one.track_id for one in found], dtype=np.int64),
    )


def _anchors(library: Any, zone: ZoneConfig) -> list[Any]:
    return [library.Position.BOTTOM_CENTER if zone.anchor == "bottom" else library.Position.CENTER]


def _library() -> Any:
    try:
        # Imported here, because it loads hundreds of megabytes that a run without zones does not need.
        import supervision
    except ModuleNotFoundError as error:
        if error.name != "supervision":
            raise
        raise ConfigError(
            "zones need supervision, which is not installed; run: pip install 'streamseg[zones]'"
        ) from error
    return supervision
