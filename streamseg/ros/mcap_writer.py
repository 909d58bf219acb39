"""MCAP files of ROS 2 messages, as rosbag2 and Foxglove read them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from streamseg.capture.mcap_recording import CLOCK_KEY, SOURCE_KEY
from streamseg.errors import ConfigError, DataError
from streamseg.resources import Resource
from streamseg.ros.cdr import CdrTypes
from streamseg.ros.frame_encoder import FrameEncoder, SerializedMessage
from streamseg.structures.message import Message

__all__ = ["McapWriter", "check_mcap_name", "require_mcap"]

SUFFIX: Final = ".mcap"

CHUNK_BYTES: Final = 64 * 1024
"""Size above which a chunk is compressed and written. A frame with an image exceeds it, so that a killed process loses
at most its last frame; without images, a few frames."""

MAX_SEQUENCE: Final = 2**32 - 1
"""Largest sequence number of a message."""

FOREVER: Final = "{sec: 9223372036, nsec: 854775807}"
LATCHED_QOS: Final = f"""\
- history: 1
  depth: 1
  reliability: 1
  durability: 1
  deadline: {FOREVER}
  lifespan: {FOREVER}
  liveliness: 1
  liveliness_lease_duration: {FOREVER}
  avoid_ros_namespace_conventions: false
"""
"""Quality of service that rosbag2 offers when it plays a topic: keep last, reliable, transient local, automatic."""


def check_mcap_name(path: Path) -> None:
    """Raise DataError if the name of a file does not end in .mcap."""
    if path.suffix.lower() != SUFFIX:
        raise DataError(f"the name of an MCAP file must end in {SUFFIX}, got {path}")


def require_mcap() -> None:
    """Raise ConfigError if a library for MCAP files is not installed."""
    _library()
    CdrTypes()


class McapWriter(Resource):
    """Writes the messages of `FrameEncoder` to one file.

    Log and publish time of all messages are the time of the capture, their sequence number is the index of the frame;
    the id of the source and its clock are metadata of each channel, so that the file can be replayed.

    Args:
        path: file to replace.

    Raises:
        ConfigError: mcap or rosbags is not installed.
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        writer_type = _library()
        self._encoder = FrameEncoder()
        self._file = path.open("wb")
        self._writer = writer_type(self._file, chunk_size=CHUNK_BYTES)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._num_complete_bytes = 0
        self._writer.start(profile="ros2", library="streamseg")

    @property
    def num_bytes(self) -> int:
        """Size of the file so far."""
        return self._file.tell()

    def write(self, message: Message, jpeg: bytes | None = None) -> None:
        """Append one frame.

        Args:
            message: the frame's objects.
            jpeg: the frame's image; None: without image.

        Raises:
            OSError: the file cannot be written; what was written before remains readable. Only `abandon` may follow.
        """
        for one in self._encoder.encode(message, None if jpeg is None else lambda: jpeg):
            self._writer.add_message(
                self._channel(one, message),
                log_time=message.captured_ns,
                publish_time=message.captured_ns,
                sequence=message.frame_index % (MAX_SEQUENCE + 1),
                data=one.data,
            )
        self._file.flush()
        self._num_complete_bytes = self._file.tell()

    def close(self) -> None:
        """Write the index and close the file. Idempotent.

        Raises:
            OSError: the index cannot be written; the messages remain readable.
        """
        if self._file.closed:
            return
        try:
            self._writer.finish()
            self._file.flush()
        except OSError:
            self.abandon()
            raise
        self._file.close()

    def abandon(self) -> None:
        """Close the file without an index, and remove an incomplete end. Readers then scan the whole file.

        Raises:
            OSError: the incomplete end cannot be removed.
        """
        number = os.dup(self._file.fileno())
        try:
            # Closing writes what is buffered, which fails again if the disk is full, and is removed in any case.
            with suppress(OSError):
                self._file.close()
            os.ftruncate(number, self._num_complete_bytes)
        finally:
            os.close(number)

    def _channel(self, one: SerializedMessage, message: Message) -> int:
        """Return the channel of a topic, and register it before its first message."""
        channel = self._channels.get(one.topic)
        if channel is None:
            if one.type_name not in self._schemas:
                schema = self._encoder.types.schema(one.type_name)
                self._schemas[one.type_name] = self._writer.register_schema(one.type_name, "ros2msg", schema.encode())
            channel = self._channels[one.topic] = self._writer.register_channel(
                one.topic,
                "cdr",
                self._schemas[one.type_name],
                metadata={
                    SOURCE_KEY: message.source_id,
                    CLOCK_KEY: message.clock,
                    **({"offered_qos_profiles": LATCHED_QOS} if one.is_latched else {}),
                },
            )
        return channel


def _library() -> Any:
    try:
        from mcap.writer import Writer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mcap":
            raise
        raise ConfigError("MCAP files need the package mcap; run: pip install 'streamseg[record]'") from error
    return Writer
