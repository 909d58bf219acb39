"""foxglove_msgs/ImageAnnotations in CDR, with outlines as arrays.

rosbags needs an object per point, which takes ten times as long as everything else that is written per frame.

XCDR1 (OMG DDS-XTypes 1.3, 7.4.1), little-endian: four bytes of header; numbers aligned to their size, counted from the
end of the header; a sequence is its length (uint32) and its elements; a string ends with a zero byte that is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

__all__ = ["ANNOTATIONS_TYPE", "serialize_annotations"]

ANNOTATIONS_TYPE: Final = "foxglove_msgs/msg/ImageAnnotations"

HEADER: Final = b"\x00\x01\x00\x00"


def serialize_annotations(message: Mapping[str, Any]) -> bytes:
    """Return the message of `messages.image_annotations` in CDR. It must not have circles or colours of single points.

    Raises:
        KeyError: a field is missing.
        ValueError: there are circles or colours of single points.
    """
    if message["circles"] or any(line["outline_colors"] for line in message["points"]):
        raise ValueError("circles and colours of single points are not supported")
    body = bytearray()
    _pack(body, "I", 0)
    _pack(body, "I", len(message["points"]))
    for line in message["points"]:
        _time(body, line["timestamp"])
        body.append(line["type"])
        points = np.ascontiguousarray(line["points"], dtype="<f8")
        _pack(body, "I", len(points))
        if len(points):
            _align(body, 8)
            body += points.tobytes()
        _colour(body, line["outline_color"])
        _pack(body, "I", 0)
        _colour(body, line["fill_color"])
        _pack(body, "d", line["thickness"])
    _pack(body, "I", len(message["texts"]))
    for text in message["texts"]:
        _time(body, text["timestamp"])
        _pack(body, "dd", text["position"]["x"], text["position"]["y"])
        words = text["text"].encode() + b"\0"
        _pack(body, "I", len(words))
        body += words
        _pack(body, "d", text["font_size"])
        _colour(body, text["text_color"])
        _colour(body, text["background_color"])
    return HEADER + bytes(body)


def _pack(body: bytearray, kinds: str, *values: float) -> None:
    """Append numbers of one size, aligned."""
    _align(body, struct.calcsize(kinds[0]))
    body += struct.pack("<" + kinds, *values)


def _align(body: bytearray, size: int) -> None:
    body += b"\0" * (-len(body) % size)


def _time(body: bytearray, stamp: Mapping[str, int]) -> None:
    _pack(body, "i", stamp["sec"])
    _pack(body, "I", stamp["nanosec"])


def _colour(body: bytearray, colour: Mapping[str, float]) -> None:
    _pack(body, "dddd", colour["r"], colour["g"], colour["b"], colour["a"])
