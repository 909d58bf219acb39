"""Images of ROS 2 messages as arrays: what a node receives from cameras."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.structures.arrays import ImageArray

__all__ = ["Camera", "camera_of", "depth_of", "image_of", "stamp_ns"]

_TO_RGB: Final[dict[str, tuple[int, int | None]]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
}
"""Number of channels and conversion, by the encoding of a sensor_msgs/Image."""

_DEPTH: Final = {"16UC1": (np.uint16, 0.001), "mono16": (np.uint16, 0.001), "32FC1": (np.float32, 1.0)}
"""Type of a pixel and metres per unit (REP 118), by encoding."""


class Camera(NamedTuple):
    """Pinhole of a rectified image, from sensor_msgs/CameraInfo; pixels of an image of `size`."""

    fx: float
    fy: float
    cx: float
    cy: float
    size: tuple[int, int]
    """(H, W)."""


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message with a header, in ns; 0 if its sender set none."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def image_of(message: Any) -> ImageArray:
    """Return the image of a sensor_msgs/Image or CompressedImage, uint8 (H, W, 3) RGB.

    Raises:
        DataError: the encoding is not supported, or the data are incomplete.
    """
    if not hasattr(message, "encoding"):
        return _decoded(message)
    if message.encoding not in _TO_RGB:
        raise DataError(f"the encoding {str(message.encoding)[:20]!r} is not supported; use {', '.join(_TO_RGB)}")
    channels, conversion = _TO_RGB[message.encoding]
    pixels = _rows(message, np.dtype(np.uint8), channels)
    if conversion is None:
        return pixels.copy()
    return np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)


def depth_of(message: Any) -> npt.NDArray[np.float32]:
    """Return the depth image of a sensor_msgs/Image in metres, float32 (H, W); 0, NaN or infinity: unknown.

    Raises:
        DataError: the encoding is not supported, or the data are incomplete.
    """
    if message.encoding not in _DEPTH:
        raise DataError(f"the depth encoding {str(message.encoding)[:20]!r} is not supported; use {', '.join(_DEPTH)}")
    kind, metres = _DEPTH[message.encoding]
    layout = np.dtype(kind).newbyteorder(">") if message.is_bigendian else np.dtype(kind).newbyteorder("<")
    pixels = _rows(message, layout, 1)[:, :, 0]
    return pixels.astype(np.float32) * np.float32(metres)


def camera_of(message: Any) -> Camera | None:
    """Return the projection of a sensor_msgs/CameraInfo, for rectified images; None if the camera is uncalibrated."""
    projection, intrinsics = np.asarray(message.p, dtype=float), np.asarray(message.k, dtype=float)
    size = int(message.height), int(message.width)
    if min(size) < 1:
        return None
    if projection[0] > 0 and projection[5] > 0:
        return Camera(projection[0], projection[5], projection[2], projection[6], size)
    if intrinsics[0] > 0 and intrinsics[4] > 0:
        return Camera(intrinsics[0], intrinsics[4], intrinsics[2], intrinsics[5], size)
    return None


def _decoded(message: Any) -> ImageArray:
    found = (
        cv2.imdecode(
            np.frombuffer(bytes(message.data), dtype=np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if len(message.data)
        else None
    )
    if found is None:
        raise DataError(f"a compressed image of format {str(message.format)[:40]!r} cannot be decoded")
    return np.asarray(found, dtype=np.uint8)


def _rows(message: Any, kind: np.dtype[Any], channels: int) -> npt.NDArray[Any]:
    """Return the pixels (H, W, channels) of an image, without the padding of its rows."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    used = width * channels * kind.itemsize
    data = np.asarray(message.data, dtype=np.uint8)
    if min(height, width) < 1 or step < used or data.size < step * height:
        raise DataError(f"an image of {width}x{height} with rows of {step} bytes cannot have {data.size} bytes")
    rows = data[: step * height].reshape(height, step)[:, :used]
    return np.ascontiguousarray(rows).view(kind).reshape(height, width, channels)
