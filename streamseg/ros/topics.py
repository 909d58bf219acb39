"""Topics of one source: name, message type and content."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from streamseg.ros import messages
from streamseg.ros.id_image import IdPainter
from streamseg.ros.messages import RosMessage
from streamseg.structures.message import Message

__all__ = ["IMAGE_TOPIC", "Topic", "frame_topics", "namespace", "ros_name"]


@dataclass(frozen=True)
class Topic:
    """A topic within the namespace of a source."""

    name: str
    type_name: str
    build: Callable[[Message], RosMessage]
    """Returns the ROS message of a frame."""


def frame_topics() -> tuple[Topic, ...]:
    """Return the topics that need only the message. Built messages are valid until the next frame is built."""
    return (
        Topic("instances", "sensor_msgs/msg/Image", partial(messages.instances, paint=IdPainter())),
        Topic("label_info", "vision_msgs/msg/LabelInfo", messages.label_info),
        Topic("detections", "vision_msgs/msg/Detection2DArray", messages.detections),
        Topic("prompts", "vision_msgs/msg/Detection2DArray", messages.prompts),
        Topic("annotations", "foxglove_msgs/msg/ImageAnnotations", messages.image_annotations),
    )


IMAGE_TOPIC: Final = ("image/compressed", "sensor_msgs/msg/CompressedImage")
"""Name, as image_transport expects it, and type of the images' topic."""


def ros_name(text: str) -> str:
    """Return a text as one level of a ROS name, with _ for characters that ROS does not allow; not empty."""
    return re.sub("[^A-Za-z0-9_]", "_", text) or "_"


def namespace(source_id: str) -> str:
    """Return the ROS namespace of a source: /streamseg/<id>, with _ for characters that ROS does not allow.

    Ids that differ only in such characters share a namespace.
    """
    name = ros_name(source_id)
    return f"/streamseg/{name}" if name[:1].isalpha() else f"/streamseg/source_{name}"
