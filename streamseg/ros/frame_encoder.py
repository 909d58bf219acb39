"""The ROS 2 messages of a frame, serialised: what MCAP files, the ROS 2 node and the Foxglove server send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from streamseg.ros import messages
from streamseg.ros.cdr import CdrTypes
from streamseg.ros.topics import IMAGE_TOPIC, frame_topics, namespace
from streamseg.structures.message import Message

__all__ = ["LABELS_TOPIC", "FrameEncoder", "SerializedMessage"]

LABELS_TOPIC: Final = "label_info"


@dataclass(frozen=True, eq=False)
class SerializedMessage:
    """One message of a topic."""

    topic: str
    """Absolute name, such as /streamseg/cam0/detections."""
    type_name: str
    """Such as "sensor_msgs/msg/Image"."""
    data: bytes
    """The message in CDR."""
    is_latched: bool
    """Whether later subscribers need it, too (transient local)."""


class FrameEncoder:
    """Serialises the topics of `frame_topics` and the image of each frame.

    Args:
        repeats_labels: send the class names of the tracks with every frame, for receivers that cannot get an earlier
            message; False: only when they change.

    Raises:
        ConfigError: rosbags is not installed.
    """

    def __init__(self, *, repeats_labels: bool = False) -> None:
        self.types = CdrTypes()
        self._repeats_labels = repeats_labels
        self._topics = frame_topics()
        self._labels: dict[str, Any] = {}
        """Class map that was last sent, by namespace."""

    def encode(
        self,
        message: Message,
        jpeg: Callable[[], bytes] | None = None,
        *,
        is_wanted: Callable[[str, str], bool] = lambda topic, type_name: True,
    ) -> Iterator[SerializedMessage]:
        """Yield the messages of a frame.

        Args:
            message: the frame's objects.
            jpeg: returns the frame's image; not called if the image is not wanted. None: without image.
            is_wanted: whether a topic, given by name and type, has a receiver; others are not built.
        """
        prefix = namespace(message.source_id)
        name, type_name = IMAGE_TOPIC
        topic = f"{prefix}/{name}"
        if jpeg is not None and is_wanted(topic, type_name):
            built = messages.image(message, jpeg())
            yield SerializedMessage(topic, type_name, self.types.serialize(type_name, built), is_latched=False)
        for kind in self._topics:
            topic = f"{prefix}/{kind.name}"
            if not is_wanted(topic, kind.type_name):
                continue
            built = kind.build(message)
            is_latched = kind.name == LABELS_TOPIC
            if is_latched and not self._repeats_labels:
                if self._labels.get(prefix) == built["class_map"]:
                    continue
                self._labels[prefix] = built["class_map"]
            yield SerializedMessage(topic, kind.type_name, self.types.serialize(kind.type_name, built), is_latched)
