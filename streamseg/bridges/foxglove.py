"""WebSocket server for Foxglove: the topics of MCAP files, live."""

from __future__ import annotations

import logging
from typing import Any, Final

from streamseg.config.address import split_host_and_port
from streamseg.errors import ConfigError, PublishError
from streamseg.pipeline import FrameResult
from streamseg.publish.endpoints import is_loopback
from streamseg.publish.jpeg import EncodeImage
from streamseg.resources import Resource
from streamseg.ros.frame_encoder import FrameEncoder
from streamseg.runtime.sink_slot import SinkPolicy

__all__ = ["FoxgloveServer", "check_endpoint"]

logger = logging.getLogger(__name__)

BACKLOG_MESSAGES: Final = 24
"""Messages that wait for a slow client before the oldest are dropped: a few frames with all topics."""


def check_endpoint(endpoint: str, *, allow_public: bool) -> tuple[str, int]:
    """Check that a server at HOST:PORT is meant to be reachable, and that its package is installed.

    Returns:
        Host and port.

    Raises:
        ConfigError: the endpoint is invalid, or foxglove-sdk is not installed.
        PublishError: other machines can reach it, without `allow_public`.
    """
    host, port = split_host_and_port(endpoint)
    if not allow_public and not is_loopback(host):
        raise PublishError(
            f"Foxglove at {endpoint} can be reached from other machines, without encryption: use 127.0.0.1,"
            " or set foxglove.allow_public"
        )
    _library()
    return host, port


class FoxgloveServer(Resource):
    """Sink that serves each frame to Foxglove, as ROS 2 messages. Topics that no client subscribes to are not built.

    Open it in Foxglove with `Open connection`, `Foxglove WebSocket`, the address `url`.

    Args:
        endpoint: HOST:PORT; port 0 lets the system choose.
        encode_image: returns an image as JPEG.
        allow_public: allow a host that other machines can reach.

    Raises:
        ConfigError: foxglove-sdk or rosbags is not installed, or the endpoint is invalid.
        PublishError: the server cannot listen there, or only with `allow_public`.
    """

    policy = SinkPolicy("foxglove", capacity=1, keep="newest")

    def __init__(self, endpoint: str, encode_image: EncodeImage, *, allow_public: bool = False) -> None:
        host, port = check_endpoint(endpoint, allow_public=allow_public)
        self._encode_image = encode_image
        self._encoder = FrameEncoder(repeats_labels=True)
        self._library = _library()
        self._context = self._library.Context()
        self._channels: dict[str, Any] = {}
        self._is_closed = False
        try:
            self._server = self._library.start_server(
                name="streamseg", host=host, port=port, context=self._context, message_backlog_size=BACKLOG_MESSAGES
            )
        except (RuntimeError, OSError) as error:
            raise PublishError(f"cannot serve Foxglove at {endpoint}: {' '.join(str(error).split())}") from error
        name = f"[{host}]" if ":" in host else host
        self.url = f"ws://{name}:{self._server.port}"
        """Address for Foxglove."""

    def write(self, result: FrameResult) -> None:
        """Serve one frame."""
        message = result.message
        for one in self._encoder.encode(
            message, lambda: self._encode_image(result.frame.image), is_wanted=self._has_subscribers
        ):
            self._channels[one.topic].log(one.data, log_time=message.captured_ns)

    def close(self) -> None:
        """Disconnect all clients. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._server.stop()
        for channel in self._channels.values():
            channel.close()

    def _has_subscribers(self, topic: str, type_name: str) -> bool:
        channel = self._channels.get(topic)
        if channel is None:
            schema = self._library.Schema(
                name=type_name, encoding="ros2msg", data=self._encoder.types.schema(type_name).encode()
            )
            channel = self._channels[topic] = self._library.Channel(
                topic, schema=schema, message_encoding="cdr", context=self._context
            )
        return bool(channel.has_sinks())


def _library() -> Any:
    try:
        import foxglove
    except ModuleNotFoundError as error:
        if error.name != "foxglove":
            raise
        raise ConfigError("Foxglove needs the package foxglove-sdk; run: pip install 'streamseg[foxglove]'") from error
    return foxglove
