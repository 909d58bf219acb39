"""MCAP files of ROS 2 messages, as rosbag2 and Foxglove read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from streamseg.errors import ConfigError, DataError
from streamseg.resources import Resource
from streamseg.ros import messages
from streamseg.ros.cdr import CdrTypes
from streamseg.ros.topics import IMAGE_TOPIC, frame_topics, namespace
from streamseg.structures.message import Message

__all__ = ["McapWriter", "check_mcap_name", "require_mcap"]

SUFFIX: Final = ".mcap"

CHUNK_BYTES: Final = 64 * 1024
"""Size above which a chunk is compressed and written. A frame with an image exceeds it, so that a killed process loses
at most its last frame; without images, a few frames."""

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
    """Writes the topics of `frame_topics` and the image of each frame, in ROS 2's CDR, to one file.

    Log and publish time of all messages are the time of the capture. `label_info` is written when it changes.

    Args:
        path: file to replace.

    Raises:
        ConfigError: mcap or rosbags is not installed.
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        writer_type = _library()
        self._types = CdrTypes()
        self._topics = frame_topics()
        self._file = path.open("wb")
        self._writer = writer_type(self._file, chunk_size=CHUNK_BYTES)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._labels: dict[str, Any] = {}
        """Class map that was last written, by namespace."""
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
        prefix = namespace(message.source_id)
        if jpeg is not None:
            name, type_name = IMAGE_TOPIC
            self._add(f"{prefix}/{name}", type_name, messages.image(message, jpeg), message.captured_ns)
        for topic in self._topics:
            built = topic.build(message)
            is_latched = "class_map" in built
            if is_latched:
                if self._labels.get(prefix) == built["class_map"]:
                    continue
                self._labels[prefix] = built["class_map"]
            self._add(f"{prefix}/{topic.name}", topic.type_name, built, message.captured_ns, is_latched=is_latched)
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
        """Close the file without an index, and remove an incomplete end. Readers then scan the whole file."""
        number = os.dup(self._file.fileno())
        try:
            try:
                self._file.close()  # writes what is buffered, which fails again if the disk is full
            finally:
                os.ftruncate(number, self._num_complete_bytes)
        except OSError:
            pass  # the caller reports the error that made the file unusable
        finally:
            os.close(number)

    def _add(
        self, topic: str, type_name: str, message: messages.RosMessage, time_ns: int, *, is_latched: bool = False
    ) -> None:
        if type_name not in self._schemas:
            schema = self._types.schema(type_name)
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", schema.encode())
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(
                topic,
                "cdr",
                self._schemas[type_name],
                metadata={"offered_qos_profiles": LATCHED_QOS} if is_latched else {},
            )
        self._writer.add_message(
            self._channels[topic],
            log_time=time_ns,
            publish_time=time_ns,
            data=self._types.serialize(type_name, message),
        )


def _library() -> Any:
    try:
        from mcap.writer import Writer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mcap":
            raise
        raise ConfigError("MCAP files need the package mcap; run: pip install 'streamseg[record]'") from error
    return Writer
