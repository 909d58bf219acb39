"""Connection to an MQTT broker, which is kept and restored by a thread of paho-mqtt."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from streamseg.config.mqtt import MqttConfig, parse_broker
from streamseg.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

__all__ = ["MqttConnection", "require_mqtt"]

logger = logging.getLogger(__name__)

MIN_RETRY_SECONDS: Final = 1
MAX_RETRY_SECONDS: Final = 30
CLOSE_SECONDS: Final = 0.3
"""Time for the last message on `close`."""
KEEPALIVE_SECONDS: Final = 15
"""The broker sends the last will after one and a half times this long without a sign of life."""


def require_mqtt() -> None:
    """Raise ConfigError if the library for MQTT is not installed."""
    _library()


class MqttConnection:
    """Sends retained messages, and reports the retained topics that the broker knows.

    Args:
        config: its address is not None.
        status_topic: topic of the last will.
        last_will: payload that the broker publishes there when the connection breaks, and `close` otherwise.
        filters: topics to report.
        on_retained: called with each topic that has a payload, and the payload, by the thread of the connection.
        on_connected: called by that thread after each connection, before any topic is reported.
        clock: monotonic time in seconds.

    Raises:
        ConfigError: paho-mqtt is not installed, or the file of certificates cannot be read.
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        status_topic: str,
        last_will: str,
        filters: Sequence[str],
        on_retained: Callable[[str, bytes], None],
        on_connected: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        assert config.address is not None
        self._address = config.address
        self._status_topic = status_topic
        self._last_will = last_will
        self._filters = filters
        self._on_retained = on_retained
        self._on_connected = on_connected
        self._clock = clock
        self._lock = threading.Lock()
        self._error: str | None = None
        self._disconnected_at: float | None = clock()
        self._is_closed = False
        self._client = self._started(config)

    @property
    def is_connected(self) -> bool:
        """Whether messages reach the broker."""
        with self._lock:
            return self._disconnected_at is None

    def outage(self) -> tuple[float, str] | None:
        """Return how long there has been no connection, in seconds, and why; None if there is one."""
        with self._lock:
            if self._disconnected_at is None:
                return None
            return self._clock() - self._disconnected_at, self._error or "no connection"

    def publish(self, topic: str, payload: str | None) -> None:
        """Send a retained message; None deletes what the broker retains of the topic."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def close(self) -> None:
        """Publish the last will and disconnect. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._client.is_connected():
            last = self._client.publish(self._status_topic, self._last_will, qos=1, retain=True)
            last.wait_for_publish(CLOSE_SECONDS)
        # Its thread then ends by itself: `loop_stop` would wait for it, and fails if it ends meanwhile.
        self._client.disconnect()

    def _started(self, config: MqttConfig) -> Client:
        """Return a client whose thread connects, and connects again."""
        mqtt = _library()
        broker = parse_broker(self._address)
        client: Client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        password = config.password
        client.username_pw_set(config.user, password.get_secret_value() if password is not None else None)
        if broker.has_tls:
            client.tls_set_context(_tls(config.ca_file))
        client.will_set(self._status_topic, self._last_will, qos=1, retain=True)
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
        self._on_connected()
        with self._lock:
            self._disconnected_at = None
            self._error = None
        logger.info("mqtt: connected to %s", self._address)
        client.subscribe([(one, 1) for one in self._filters])

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._disconnected("it does not answer")

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        # A refused login is followed by a disconnection, whose reason says less.
        if self.is_connected:
            self._disconnected(str(reason))

    def _disconnected(self, reason: str) -> None:
        with self._lock:
            if self._disconnected_at is None:
                self._disconnected_at = self._clock()
            is_new, self._error = reason != self._error, reason
        if is_new and not self._is_closed:
            logger.warning("mqtt: no connection to %s: %s; retrying", self._address, reason)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.payload:
            self._on_retained(message.topic, bytes(message.payload))


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt.ca_file {ca_file}: {reason_of(error)}") from error


def _library() -> Any:
    try:
        from paho.mqtt import client
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "paho":
            raise
        raise ConfigError("MQTT needs paho-mqtt, which is not installed; run: pip install 'streamseg[mqtt]'") from error
    return client
