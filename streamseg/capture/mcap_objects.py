"""The objects that a run has recorded in an MCAP file, from the id image and the detections of a frame."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from streamseg.capture.cdr_reader import CdrReader
from streamseg.capture.recorded_objects import RecordedObject, instances_from
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

__all__ = ["recorded_instances"]

MAX_PIXELS: Final = 1 << 26
POSE_NUMBERS: Final = "43d"
"""The geometry_msgs/PoseWithCovariance of a detection."""
_MARGIN_PX: Final = 64
"""Margin around a box in which its mask is searched: sharp masks may extend beyond it."""


def recorded_instances(id_image: bytes, detections: bytes | None) -> Instances:
    """Return the confirmed objects of a frame.

    Args:
        id_image: sensor_msgs/Image of type mono16, in CDR.
        detections: vision_msgs/Detection2DArray, in CDR; None: there are no objects.

    Raises:
        ValueError: a message is invalid.
    """
    ids = _id_image(id_image)
    found = [] if detections is None else _detections(detections)
    return instances_from(_objects(ids, found), (ids.shape[0], ids.shape[1]))


def _id_image(data: bytes) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the pixels of a sensor_msgs/Image of type mono16, uint16 (H, W); raise ValueError if it is another one."""
    reader = CdrReader(data)
    reader.header()
    height, width = reader.numbers("2I")
    encoding = reader.text()
    reader.numbers("B")
    (step,) = reader.numbers("I")
    pixels = reader.blob()
    if encoding != "mono16" or step != 2 * width or len(pixels) != step * height or height * width > MAX_PIXELS:
        raise ValueError(f"an id image must be mono16 without padding, got {encoding[:20]!r} of {width}x{height}")
    return np.frombuffer(pixels, dtype="<u2").reshape(height, width)


class _Detection(NamedTuple):
    """A detection of a recorded frame."""

    track_id: int
    box: tuple[float, float, float, float]
    score: float


def _detections(data: bytes) -> list[_Detection]:
    """Return the confirmed objects of a vision_msgs/Detection2DArray; raise ValueError if it is invalid."""
    reader = CdrReader(data)
    reader.header()
    found = []
    for _ in range(reader.count()):
        reader.header()
        score = 0.0
        for _ in range(reader.count()):
            reader.text()
            (score,) = reader.numbers("d")
            reader.numbers(POSE_NUMBERS)
        x, y, _, width, height = reader.numbers("5d")
        name = reader.text()
        if name.isdecimal():
            found.append(_Detection(int(name), (x - width / 2, y - height / 2, x + width / 2, y + height / 2), score))
    return found


def _objects(ids: np.ndarray[Any, np.dtype[np.uint16]], found: list[_Detection]) -> list[RecordedObject]:
    """Return the objects of an id image, in which the smallest of overlapping masks hides the others."""
    height, width = ids.shape
    objects = []
    for one in found:
        if not np.isfinite(one.box).all():
            continue
        x0, y0 = (max(int(edge) - _MARGIN_PX, 0) for edge in one.box[:2])
        x1, y1 = (max(int(edge) + _MARGIN_PX, 0) for edge in one.box[2:])
        part = ids[y0 : min(y1, height), x0 : min(x1, width)] == (one.track_id - 1) % 65535 + 1
        tight = CropMask.of(part)
        objects.append(RecordedObject(CropMask(tight.crop, tight.x + x0, tight.y + y0), one.box, one.score))
    return objects
