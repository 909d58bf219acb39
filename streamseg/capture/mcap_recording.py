"""The frames of an MCAP file: one that a run has written (`ros.mcap_writer`), or a bag with compressed images."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast, get_args

import cv2
import numpy as np

from streamseg.capture.cdr_reader import CdrReader
from streamseg.capture.recorded_frame import RecordedFrame
from streamseg.errors import SourceError, reason_of
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Clock

__all__ = ["CLOCK_KEY", "SOURCE_KEY", "McapRecording"]

logger = logging.getLogger(__name__)

SOURCE_KEY: Final = "source"
CLOCK_KEY: Final = "clock"
"""Keys of a channel's metadata: id of the source, and its clock."""

IMAGE_TYPE: Final = "sensor_msgs/msg/CompressedImage"
MAX_RECORD_BYTES: Final = 1 << 28


class _Message(NamedTuple):
    """A message of the source, and the channel it belongs to."""

    level: str
    """Last level of the topic."""
    channel: Any
    record: Any


class McapRecording:
    """Reads the images of one topic, and the objects that a run has recorded with them.

    A file without an end, of a killed process, ends with its last intact chunk.

    Args:
        path: the file.
        topic: topic of sensor_msgs/CompressedImage; None: the only one of the file.
        source_id: id of the source, for the log.
        with_objects: also read the objects of each frame, from the topics `instances` and `detections` beside the
            image's.

    Raises:
        SourceError: the file cannot be read, has no such topic, or several and `topic` is None; mcap is not installed.
    """

    def __init__(self, path: Path, topic: str | None, source_id: str, *, with_objects: bool = False) -> None:
        self._path = path
        self._source_id = source_id
        self._with_objects = with_objects
        self._library = _library()
        found = self._find_topics()
        if not found:
            raise SourceError(f"{path} holds no compressed images ({IMAGE_TYPE})")
        if topic is None and len(found) > 1:
            raise SourceError(f"{path} holds the images of {len(found)} topics; set topic to one of {', '.join(found)}")
        self._topic = topic if topic is not None else next(iter(found))
        if self._topic not in found:
            raise SourceError(f"{path} has no images in {self._topic}; topics with images are {', '.join(found)}")
        self.frame_id = found[self._topic]

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield the frames in the order of the file; indices are those of the run, or count the images of a bag."""
        image: _Message | None = None
        others: dict[str, _Message] = {}
        num_images = 0
        first_ns: int | None = None
        beside = self._topic.removesuffix("/image/compressed") + "/"
        for one in self._messages():
            if one.channel.topic == self._topic:
                if image is not None:
                    yield self._frame(image, others, num_images, first_ns)
                    num_images += 1
                image, others = one, {}
                first_ns = one.record.log_time if first_ns is None else first_ns
            elif one.channel.topic.startswith(beside):
                others[one.level] = one
        if image is not None:
            yield self._frame(image, others, num_images, first_ns)

    def _frame(
        self, image: _Message, others: dict[str, _Message], num_images: int, first_ns: int | None
    ) -> RecordedFrame:
        captured_ns = int(image.record.log_time)
        is_own = SOURCE_KEY in image.channel.metadata
        clock = image.channel.metadata.get(CLOCK_KEY, "driver")
        return RecordedFrame(
            frame_index=int(image.record.sequence) if is_own else num_images,
            captured_ns=captured_ns,
            clock=cast(Clock, clock) if clock in get_args(Clock) else "driver",
            pts_seconds=(captured_ns - (captured_ns if first_ns is None else first_ns)) / 1e9,
            image=partial(self._decode, image),
            instances=partial(self._instances, others) if self._with_objects and "instances" in others else None,
        )

    def _decode(self, image: _Message) -> ImageArray:
        try:
            reader = CdrReader(image.record.data)
            reader.header()
            reader.text()
            data = np.frombuffer(reader.blob(), dtype=np.uint8)
            found = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
        except (ValueError, cv2.error) as error:
            raise SourceError(f"{self._path} is damaged: an image: {error}") from error
        if found is None:
            raise SourceError(f"{self._path} is damaged: an image cannot be decoded")
        return np.asarray(found, dtype=np.uint8)

    def _instances(self, others: dict[str, _Message]) -> Any:
        from streamseg.capture.mcap_objects import recorded_instances

        detections = others.get("detections")
        try:
            return recorded_instances(
                others["instances"].record.data, None if detections is None else detections.record.data
            )
        except ValueError as error:
            raise SourceError(f"{self._path} is damaged: objects: {error}") from error

    def _find_topics(self) -> dict[str, str]:
        """Return the frame_id of the first image of each topic with images, from the start of the file."""
        topics: dict[str, str] = {}
        for one in self._messages(limit=_SEARCHED_MESSAGES):
            if one.channel.topic not in topics and self._is_image(one):
                try:
                    topics[one.channel.topic] = CdrReader(one.record.data).header()[1]
                except ValueError as error:
                    raise SourceError(f"{self._path} is damaged: an image: {error}") from error
        return topics

    def _is_image(self, one: _Message) -> bool:
        schema = self._schemas.get(one.channel.schema_id)
        return schema is not None and schema.name == IMAGE_TYPE and one.channel.message_encoding == "cdr"

    def _messages(self, limit: int | None = None) -> Iterator[_Message]:
        """Yield all messages in the order of the file, up to the first damage, which is logged."""
        self._schemas: dict[int, Any] = {}
        channels: dict[int, Any] = {}
        library = self._library
        num_messages = 0
        try:
            with self._path.open("rb") as file:
                reader = library.StreamReader(file, validate_crcs=True, record_size_limit=MAX_RECORD_BYTES)
                for record in reader.records:
                    if isinstance(record, library.Schema):
                        self._schemas[record.id] = record
                    elif isinstance(record, library.Channel):
                        channels[record.id] = record
                    elif isinstance(record, library.Message) and record.channel_id in channels:
                        if num_messages == limit:
                            return
                        num_messages += 1
                        channel = channels[record.channel_id]
                        yield _Message(channel.topic.rpartition("/")[2], channel, record)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {reason_of(error)}") from error
        except library.errors as error:
            if not num_messages:
                raise SourceError(
                    f"{self._path} is no MCAP file, or damaged: {error or type(error).__name__}"
                ) from error
            if limit is None:
                text = str(error) or type(error).__name__
                logger.warning("%s: %s ends early: %s", self._source_id, self._path.name, text)


_SEARCHED_MESSAGES: Final = 2000
"""Number of messages at the start of a file in which topics with images are searched."""


class _Mcap(NamedTuple):
    """What is used of mcap."""

    StreamReader: Any
    Schema: Any
    Channel: Any
    Message: Any
    errors: tuple[type[Exception], ...]


def _library() -> _Mcap:
    try:
        from mcap.exceptions import McapError
        from mcap.records import Channel, Message, Schema
        from mcap.stream_reader import StreamReader
        from zstandard import ZstdError
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("mcap", "zstandard"):
            raise
        raise SourceError("MCAP files need the package mcap; run: pip install 'streamseg[record]'") from error
    # lz4 raises RuntimeError; ValueError: a wrong checksum, or text that is no UTF-8.
    errors = (McapError, ZstdError, RuntimeError, ValueError, struct.error)
    return _Mcap(StreamReader, Schema, Channel, Message, errors)
