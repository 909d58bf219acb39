"""The messages that are written per frame, in CDR, from their dictionaries.

rosbags needs an object per nested message and copies images three times; these functions take about a third of the time
(`scripts/bench mcap`). The bytes are the same: the tests compare them with `CdrTypes.serialize_by_fields`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from streamseg.ros.cdr_buffer import CdrBuffer
from streamseg.ros.messages import UNKNOWN_POSE

__all__ = ["FRAME_TYPES"]

Fields = Mapping[str, Any]

_IMAGE = struct.Struct("<II")
_PLACE = struct.Struct("<5d")
_PAIR = struct.Struct("<2d")
_DOUBLE = struct.Struct("<d")
_LINE_HEAD = struct.Struct("<iIB3xI")
_LINE_TAIL = struct.Struct("<4dI4x5d")
"""Colour of the outline, number of its colours, colour of the area, thickness."""
_TEXT_TAIL = struct.Struct("<9d")


def _image(message: Fields) -> bytes:
    buffer = CdrBuffer()
    buffer.header(message["header"])
    buffer.pack(_IMAGE, 4, message["height"], message["width"])
    buffer.text(message["encoding"])
    buffer.raw(bytes((message["is_bigendian"],)), 1)
    buffer.uint(message["step"])
    return _with_data(buffer, message["data"])


def _compressed_image(message: Fields) -> bytes:
    buffer = CdrBuffer()
    buffer.header(message["header"])
    buffer.text(message["format"])
    return _with_data(buffer, message["data"])


def _detections(message: Fields) -> bytes:
    buffer = CdrBuffer()
    buffer.header(message["header"])
    found = message["detections"]
    buffer.uint(len(found))
    for one in found:
        buffer.header(one["header"])
        buffer.uint(len(one["results"]))
        for result in one["results"]:
            buffer.text(result["hypothesis"]["class_id"])
            buffer.pack(_DOUBLE, 8, result["hypothesis"]["score"])
            buffer.raw(_UNKNOWN_POSE if result["pose"] is UNKNOWN_POSE else _pose(result["pose"]), 8)
        box, centre = one["bbox"], one["bbox"]["center"]
        place = centre["position"]
        buffer.pack(_PLACE, 8, place["x"], place["y"], centre["theta"], box["size_x"], box["size_y"])
        buffer.text(one["id"])
    return buffer.finish()


def _annotations(message: Fields) -> bytes:
    """Return the message of `messages.image_annotations`; raise ValueError for circles and colours of single points."""
    if message["circles"] or any(line["outline_colors"] for line in message["points"]):
        raise ValueError("circles and colours of single points are not supported")
    buffer = CdrBuffer()
    buffer.uint(0)
    buffer.uint(len(message["points"]))
    for line in message["points"]:
        stamp, points = line["timestamp"], line["points"]
        buffer.pack(_LINE_HEAD, 4, stamp["sec"], stamp["nanosec"], line["type"], len(points))
        buffer.doubles(points)
        outline, area = _colour(line["outline_color"]), _colour(line["fill_color"])
        buffer.pack(_LINE_TAIL, 8, *outline, 0, *area, line["thickness"])
    buffer.uint(len(message["texts"]))
    for text in message["texts"]:
        buffer.time(text["timestamp"])
        buffer.pack(_PAIR, 8, text["position"]["x"], text["position"]["y"])
        buffer.text(text["text"])
        colours = *_colour(text["text_color"]), *_colour(text["background_color"])
        buffer.pack(_TEXT_TAIL, 8, text["font_size"], *colours)
    return buffer.finish()


def _with_data(buffer: CdrBuffer, data: np.ndarray[Any, Any]) -> bytes:
    buffer.uint(len(data))
    return buffer.finish(np.ascontiguousarray(data, dtype=np.uint8).data)


def _pose(pose: Fields) -> bytes:
    """Return a geometry_msgs/PoseWithCovariance: 43 numbers."""
    place, turn = pose["pose"]["position"], pose["pose"]["orientation"]
    numbers = [*(place[axis] for axis in "xyz"), *(turn[axis] for axis in "xyzw"), *pose["covariance"]]
    return struct.pack("<43d", *numbers)


_UNKNOWN_POSE: Final = _pose(UNKNOWN_POSE)


def _colour(colour: Fields) -> tuple[float, float, float, float]:
    return colour["r"], colour["g"], colour["b"], colour["a"]


FRAME_TYPES: Final[Mapping[str, Callable[[Fields], bytes]]] = {
    "sensor_msgs/msg/Image": _image,
    "sensor_msgs/msg/CompressedImage": _compressed_image,
    "vision_msgs/msg/Detection2DArray": _detections,
    "foxglove_msgs/msg/ImageAnnotations": _annotations,
}
"""Serialisation by type name. Each raises KeyError if a field is missing."""
