"""Sink that reports the presence of the prompts' objects to an MQTT broker."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamseg import __version__
from streamseg.config.mqtt import MqttConfig, parse_broker
from streamseg.errors import ConfigError, PublishError
from streamseg.mqtt.payloads import (
    OFFLINE,
    ONLINE,
    Topics,
    presence_json,
    prompt_entities,
    source_entity,
    zone_entities,
    zone_json,
)
from streamseg.mqtt.presence import Presence, PresenceBook
from streamseg.pipeline import FrameResult
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.structures.source_status import SourceStatus
from streamseg.structures.zone import ZoneStatus

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

__all__ = ["MqttSink", "require_mqtt"]

logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
"""Time between two comparisons of what is so with what the broker knows."""
CONNECT_SECONDS: Final = 5.0
"""Time without a connection after which the sink counts as failed."""
MIN_RETRY_SECONDS: Final = 1
MAX_RETRY_SECONDS: Final = 30
CLOSE_SECONDS: Final = 0.3
"""Time for the last messages on `close`."""
KEEPALIVE_SECONDS: Final = 15
"""The broker reports the run as offline after one and a half times this long without a sign of life."""


def require_mqtt() -> None:
    """Raise ConfigError if the library for MQTT is not installed."""
    _library()


class MqttSink:
    """Keeps the retained topics of `mqtt.payloads` at the broker equal to the run's state.

    `write` updates the presences only. A thread compares them, and the states of the sources, with what the broker
    last received, and sends the differences; paho-mqtt has a second one for the connection. After a reconnection
    everything is sent again. Retained presences of prompts that are no longer in force are deleted at the broker, also
    those of an earlier run.

    Args:
        config: its address is not None.
        clock: monotonic time in seconds.

    Raises:
        ConfigError: paho-mqtt is not installed, or the file of certificates cannot be read.
    """

    policy = SinkPolicy("mqtt", keep="newest")

    def __init__(self, config: MqttConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        assert config.address is not None
        self._config = config
        self._clock = clock
        self._topics = Topics(config.topic)
        self._lock = threading.Lock()
        self._book = PresenceBook(round(config.lost_after_s * 1e9))
        self._zones: dict[str, tuple[ZoneStatus, ...]] = {}
        """State of the zones in the last frame, by source id."""
        self._sources: Callable[[], Mapping[str, SourceStatus]] = dict
        self._known: dict[str, str] = {}
        """Payloads of retained topics that the broker received in this connection, by topic."""
        self._sent_at: dict[str, float] = {}
        self._sent: dict[str, Presence] = {}
        """Last presence by topic, and when it was sent."""
        self._retained: set[tuple[str, str]] = set()
        """(source id, prompt id) of the presences that the broker retains, from this run or an earlier one."""
        self._error: str | None = None
        self._disconnected_at: float | None = clock()
        self._client = self._connected_client()
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
            since = self._disconnected_at
            error = self._error or "no connection"
        if since is not None and self._clock() - since > CONNECT_SECONDS:
            raise PublishError(f"cannot reach the MQTT broker {self._config.address}: {error}")

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        """Do nothing: a source is reported once it has a state."""

    def remove_source(self, source_id: str) -> None:
        """Forget the prompts of a source."""
        with self._lock:
            self._book.forget(source_id)
            self._zones.pop(source_id, None)

    def close(self) -> None:
        """Report the run as offline and disconnect. Idempotent."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._thread.join(CLOSE_SECONDS)
        if self._client.is_connected():
            last = self._client.publish(self._topics.status, OFFLINE, qos=1, retain=True)
            last.wait_for_publish(CLOSE_SECONDS)
        # Its thread then ends by itself: `loop_stop` would wait for it, and fails if it ends meanwhile.
        self._client.disconnect()

    def _connected_client(self) -> Client:
        """Return a client whose thread connects, and connects again."""
        mqtt = _library()
        config = self._config
        assert config.address is not None
        broker = parse_broker(config.address)
        client: Client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        password = config.password
        client.username_pw_set(config.user, password.get_secret_value() if password is not None else None)
        if broker.has_tls:
            client.tls_set_context(_tls(config.ca_file))
        client.will_set(self._topics.status, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(MIN_RETRY_SECONDS, MAX_RETRY_SECONDS)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS)
        client.loop_start()
        return client

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._disconnected(str(reason))
            return
        with self._lock:
            self._known.clear()
            self._disconnected_at = None
            self._error = None
        logger.info("mqtt: connected to %s", self._config.address)
        client.subscribe(self._topics.every_presence, qos=1)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._disconnected("it does not answer")

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._lock:
            was_connected = self._disconnected_at is None
        # A refused login is followed by a disconnection, whose reason says less.
        if was_connected:
            self._disconnected(str(reason))

    def _disconnected(self, reason: str) -> None:
        with self._lock:
            if self._disconnected_at is None:
                self._disconnected_at = self._clock()
            is_new, self._error = reason != self._error, reason
        if is_new and not self._stopped.is_set():
            logger.warning("mqtt: no connection to %s: %s; retrying", self._config.address, reason)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        found = self._topics.parse_presence(message.topic)
        if found is not None and message.payload:
            with self._lock:
                self._retained.add(found)

    def _work(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            with self._lock:
                is_connected = self._disconnected_at is None
            if is_connected:
                self._send_differences()

    def _send_differences(self) -> None:
        """Send every topic whose payload is not the one that the broker knows."""
        topics, now = self._topics, self._clock()
        statuses = self._sources()
        with self._lock:
            presences, zones = self._book.snapshot(), dict(self._zones)
            retained = set(self._retained)
        self._send(topics.status, ONLINE)
        for source_id in sorted(statuses.keys() | presences.keys()):
            if source_id in statuses:
                topic = topics.source_status(source_id)
                self._announce(topic, partial(self._source_entity, source_id))
                self._send(topic, statuses[source_id].state)
            for prompt_id, presence in presences.get(source_id, {}).items():
                topic = topics.presence(source_id, prompt_id)
                self._announce(topic, partial(self._prompt_entities, source_id, prompt_id))
                self._send_presence(topic, presence, now)
                with self._lock:
                    self._retained.add((source_id, prompt_id))
            for zone in zones.get(source_id, ()):
                topic = topics.zone(source_id, zone.zone_id)
                self._announce(topic, partial(self._zone_entities, source_id, zone))
                self._send(topic, zone_json(zone))
        gone = ((source_id, prompt_id) for source_id, prompt_id in retained if source_id in presences)
        self._delete((source_id, prompt_id) for source_id, prompt_id in gone if prompt_id not in presences[source_id])
        self._delete(pair for pair in retained if statuses and pair[0] not in statuses)

    def _send_presence(self, topic: str, presence: Presence, now: float) -> None:
        """Send a presence if its state is another one, or if it moved and the last report is old enough."""
        before = self._sent.get(topic)
        has_changed = before is None or topic not in self._known or _moved_only(before) != _moved_only(presence)
        if has_changed or now - self._sent_at[topic] >= self._config.interval_s:
            if self._send(topic, presence_json(presence)):
                self._sent_at[topic] = now
            self._sent[topic] = presence

    def _delete(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Delete the topics and entities of prompts that are no longer in force: empty retained messages."""
        for source_id, prompt_id in list(pairs):
            topic = self._topics.presence(source_id, prompt_id)
            for gone in (*self._prompt_entities(source_id, prompt_id), topic):
                self._client.publish(gone, None, qos=1, retain=True)
                self._known.pop(gone, None)
            self._sent.pop(topic, None)
            self._sent_at.pop(topic, None)
            with self._lock:
                self._retained.discard((source_id, prompt_id))

    def _announce(self, topic: str, entities: Callable[[], Mapping[str, str]]) -> None:
        """Send the discovery messages of a topic before its first payload in this connection."""
        if topic not in self._known:
            for entity_topic, payload in entities().items():
                self._send(entity_topic, payload)

    def _send(self, topic: str, payload: str) -> bool:
        """Send a retained message unless the broker knows it; return whether it was sent."""
        if self._known.get(topic) == payload:
            return False
        self._client.publish(topic, payload, qos=1, retain=True)
        self._known[topic] = payload
        return True

    def _prompt_entities(self, source_id: str, prompt_id: str) -> dict[str, str]:
        prefix = self._config.discovery
        return {} if prefix is None else prompt_entities(self._topics, prefix, source_id, prompt_id, __version__)

    def _zone_entities(self, source_id: str, zone: ZoneStatus) -> dict[str, str]:
        prefix = self._config.discovery
        return {} if prefix is None else zone_entities(self._topics, prefix, source_id, zone, __version__)

    def _source_entity(self, source_id: str) -> dict[str, str]:
        prefix = self._config.discovery
        return {} if prefix is None else source_entity(self._topics, prefix, source_id, __version__)


def _moved_only(presence: Presence) -> Presence:
    """Return a presence without what changes with every frame."""
    return replace(presence, visible_ns=None, confidence=0.0, centroid=None, box=None)


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt.ca_file {ca_file}: {error.strerror or error}") from error


def _library() -> Any:
    try:
        from paho.mqtt import client
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "paho":
            raise
        raise ConfigError("MQTT needs paho-mqtt, which is not installed; run: pip install 'streamseg[mqtt]'") from error
    return client
