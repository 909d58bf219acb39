"""Configuration section of MQTT."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pydantic import Field, SecretStr, field_validator, model_validator

from streamseg.config.address import split_host_and_port
from streamseg.config.sources import Section
from streamseg.errors import ConfigError
from streamseg.redaction import redact

__all__ = ["Broker", "MqttConfig", "parse_broker"]

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
"""Default ports by scheme; mqtts is TLS."""
LEVELS: Final = r"[^/+#\x00$][^+#\x00]*"
"""A topic prefix: no wildcard, not empty, and none of the broker's own topics, which begin with $."""


class Broker(NamedTuple):
    """Address of an MQTT broker."""

    host: str
    port: int
    has_tls: bool


def parse_broker(address: str) -> Broker:
    """Parse `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`.

    Raises:
        ConfigError: it is neither, or contains a user and password, which have keys of their own.
    """
    scheme, separator, rest = address.partition("://")
    if "@" in rest:
        raise ConfigError(f"{redact(address)}: give the user and the password as mqtt.user and mqtt.password")
    if not separator or scheme not in PORTS:
        raise ConfigError(
            f"{redact(address)[:100]!r} is no broker; write mqtt://192.168.1.5 or mqtt://broker.local:1883, and mqtts"
            " instead of mqtt for TLS"
        )
    has_port = re.search(r":\d+$", rest) is not None and not rest.endswith("]")
    host, port = split_host_and_port((rest if has_port else f"{rest}:{PORTS[scheme]}").rstrip("/"))
    if port == 0:
        raise ConfigError(f"{address}: port 0 cannot be connected to; use a port from 1 to 65535")
    return Broker(host, port, scheme == "mqtts")


class MqttConfig(Section):
    """Presence of the prompts' objects over MQTT, with Home Assistant's discovery. Requires the extra `mqtt`."""

    address: str | None = None
    """Broker: mqtt://HOST[:PORT], or mqtts://HOST[:PORT] with TLS; None: off."""
    user: str | None = Field(default=None, min_length=1)
    password: SecretStr | None = None
    """Password of the user; in a file, write ${NAME} to take it from the environment."""
    ca_file: str | None = None
    """File with the certificates of authorities (PEM) that may sign the broker's; None: those of the system."""
    topic: str = Field(default="streamseg", max_length=200)
    """First levels of all topics. Programs that share a broker need different ones."""
    discovery: str | None = Field(default="homeassistant", max_length=200)
    """Prefix of Home Assistant's discovery topics; None: no discovery messages."""
    lost_after_s: float = Field(default=2.0, ge=0, le=3600)
    """Time without the object after which it is reported as lost."""
    interval_s: float = Field(default=1.0, ge=0.1, le=3600)
    """Minimum time between two reports of an object that only moves; changes of its state are reported at once."""

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str | None) -> str | None:
        if address is not None:
            parse_broker(address)
        return address

    @field_validator("topic", "discovery")
    @classmethod
    def _check_topic(cls, topic: str | None) -> str | None:
        if topic is not None and (re.fullmatch(LEVELS, topic) is None or topic.endswith("/")):
            raise ValueError(f"{topic!r} is not a topic: no + or #, no / at its ends, no $ at its start")
        return topic

    @model_validator(mode="after")
    def _keys_belong_together(self) -> MqttConfig:
        if self.password is not None and self.user is None:
            raise ValueError("password requires user")
        if self.ca_file is not None and self.address is not None and not parse_broker(self.address).has_tls:
            raise ValueError("ca_file requires TLS; write the address as mqtts://HOST")
        return self
