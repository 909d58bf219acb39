"""Sink that reports the presence of the prompts' objects to an MQTT broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from streamseg import __version__
from streamseg.config.mqtt import MqttConfig
from streamseg.errors import PublishError
from streamseg.mqtt.payloads import OFFLINE, ONLINE, Subject, Topics, entities_of, presence_json, zone_json
from streamseg.mqtt.presence import Presence, PresenceBook
from streamseg.pipeline import FrameResult
from streamseg.runtime.mqtt_connection import MqttConnection
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.structures.source_status import SourceStatus
from streamseg.structures.zone import ZoneStatus

__all__ = ["MqttSink"]

TICK_SECONDS: Final = 0.25
"""Time between two comparisons of what is so with what the broker knows."""
CONNECT_SECONDS: Final = 5.0
"""Time without a connection after which the sink counts as failed."""
CLOSE_SECONDS: Final = 0.3
"""Time for the thread to end on `close`."""


class MqttSink:
    """Keeps the retained topics of `mqtt.payloads` at the broker equal to the run's state.

    `write` updates the presences only. A thread compares them, and the states of the sources, with what the broker
    last received, and sends the differences; paho-mqtt has a second one for the connection. After a reconnection
    everything is sent again. What the broker retains of prompts, zones and sources that are no longer in force is
    deleted there, also that of an earlier run, with the entities.

    Args:
        config: its address is not None.
        lines: ids of the zones that are lines.
        clock: monotonic time in seconds.

    Raises:
        ConfigError: paho-mqtt is not installed, or the file of certificates cannot be read.
    """

    policy = SinkPolicy("mqtt", keep="newest")

    def __init__(
        self, config: MqttConfig, *, lines: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._lines = frozenset(lines)
        self._clock = clock
        self._topics = Topics(config.topic)
        self._lock = threading.Lock()
        self._book = PresenceBook(round(config.lost_after_s * 1e9))
        self._zones: dict[str, tuple[ZoneStatus, ...]] = {}
        """State of the zones in the last frame, by source id; every source that has delivered a frame is a key."""
        self._removed: set[str] = set()
        """Ids of sources that were removed, and have not been added again."""
        self._sources: Callable[[], Mapping[str, SourceStatus]] = dict
        self._known: dict[str, str] = {}
        """Payloads of retained topics that the broker received in this connection, by topic."""
        self._sent_at: dict[str, float] = {}
        self._sent: dict[str, Presence] = {}
        """Last presence by topic, and when it was sent."""
        self._retained: set[Subject] = set()
        """What the broker retains, from this run or an earlier one."""
        self._connection = MqttConnection(
            config,
            status_topic=self._topics.status,
            last_will=OFFLINE,
            filters=self._topics.filters,
            on_retained=self._note_retained,
            on_connected=self._forget_known,
            clock=clock,
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._thread.start()

    def report_sources(self, statuses: Callable[[], Mapping[str, SourceStatus]]) -> None:
        """Report the states of sources too. `statuses` is called by the thread of this sink."""
        self._sources = statuses

    def write(self, result: FrameResult) -> None:
        """Take the prompts of one frame.

        Raises:
            PublishError: the broker has been out of reach for `CONNECT_SECONDS`. The state is taken nevertheless.
        """
        with self._lock:
            self._book.update(result.message)
            self._zones[result.message.source_id] = result.message.zones
        outage = self._connection.outage()
        if outage is not None and outage[0] > CONNECT_SECONDS:
            raise PublishError(f"cannot reach the MQTT broker {self._config.address}: {outage[1]}")

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        """Report a source once it has a state, also one that was removed before."""
        with self._lock:
            self._removed.discard(source_id)

    def remove_source(self, source_id: str) -> None:
        """Delete what the broker retains of a source."""
        with self._lock:
            self._book.forget(source_id)
            self._zones.pop(source_id, None)
            self._removed.add(source_id)

    def close(self) -> None:
        """Report the run as offline and disconnect. Idempotent."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._thread.join(CLOSE_SECONDS)
        self._connection.close()

    def _note_retained(self, topic: str, payload: bytes) -> None:
        subject = self._topics.parse(topic)
        # The state of another run, whose topics begin with those of this one, such as streamseg/garage/status.
        is_of_run = payload in (ONLINE.encode(), OFFLINE.encode())
        if subject is not None and not is_of_run:
            with self._lock:
                self._retained.add(subject)

    def _forget_known(self) -> None:
        """A broker may have lost everything: all of it is sent again."""
        self._known.clear()

    def _work(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            if self._connection.is_connected:
                self._send_differences()

    def _send_differences(self) -> None:
        """Send every topic whose payload is not the one that the broker knows, and delete those of the past."""
        statuses = self._sources()
        with self._lock:
            removed = set(self._removed)
            presences, zones = self._book.snapshot(), dict(self._zones)
        self._send(self._topics.status, ONLINE)
        present = (statuses.keys() | presences.keys()) - removed
        in_force: set[Subject] = set()
        for source_id in sorted(present):
            if source_id in statuses:
                subject = Subject("status", source_id)
                in_force.add(subject)
                self._announce(subject)
                self._send(self._topics.of(subject), statuses[source_id].state)
            for prompt_id, presence in presences.get(source_id, {}).items():
                subject = Subject("presence", source_id, prompt_id)
                in_force.add(subject)
                self._announce(subject)
                self._send_presence(self._topics.of(subject), presence)
            for zone in zones.get(source_id, ()):
                subject = Subject("zone", source_id, zone.zone_id)
                in_force.add(subject)
                self._announce(subject)
                self._send(self._topics.of(subject), zone_json(zone))
        with self._lock:
            self._retained |= in_force
            past = self._retained - in_force
        for one in past:
            # Before the first frame of a source, its prompts and zones are unknown; before the first report of states,
            # its sources.
            is_gone = one.source_id in removed or (bool(statuses) and one.source_id not in present)
            if is_gone or (one.kind != "status" and one.source_id in zones):
                self._delete(one)

    def _send_presence(self, topic: str, presence: Presence) -> None:
        """Send a presence if its state is another one, or if it moved and the last report is old enough."""
        before, now = self._sent.get(topic), self._clock()
        has_changed = before is None or topic not in self._known or _moved_only(before) != _moved_only(presence)
        if has_changed or now - self._sent_at[topic] >= self._config.interval_s:
            if self._send(topic, presence_json(presence)):
                self._sent_at[topic] = now
            self._sent[topic] = presence

    def _delete(self, subject: Subject) -> None:
        """Delete the topic and the entities of a subject: empty retained messages."""
        topic = self._topics.of(subject)
        for gone in (*self._entities(subject), topic):
            self._connection.publish(gone, None)
            self._known.pop(gone, None)
        self._sent.pop(topic, None)
        self._sent_at.pop(topic, None)
        with self._lock:
            self._retained.discard(subject)

    def _announce(self, subject: Subject) -> None:
        """Send the discovery messages of a topic before its first payload in this connection."""
        if self._topics.of(subject) not in self._known:
            for topic, payload in self._entities(subject).items():
                self._send(topic, payload)

    def _send(self, topic: str, payload: str) -> bool:
        """Send a retained message unless the broker knows it; return whether it was sent."""
        if self._known.get(topic) == payload:
            return False
        self._connection.publish(topic, payload)
        self._known[topic] = payload
        return True

    def _entities(self, subject: Subject) -> dict[str, str]:
        prefix = self._config.discovery
        if prefix is None:
            return {}
        return entities_of(self._topics, prefix, subject, __version__, is_line=subject.name in self._lines)


def _moved_only(presence: Presence) -> Presence:
    """Return a presence without what changes with every frame."""
    return replace(presence, visible_ns=None, confidence=0.0, centroid=None, box=None)
