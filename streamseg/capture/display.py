"""Display metadata of videos: the display matrix and the sample aspect ratio.

Images are delivered as they are displayed: upright, unmirrored, with square pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamseg.structures.arrays import ImageArray

__all__ = ["display_matrix", "sample_aspect_ratio", "upright"]

MOST_ANAMORPHIC = 8.0
"""A larger sample aspect ratio, or one below its inverse, is a mistake of the container."""
ALMOST_SQUARE = 0.005
"""A smaller deviation from square pixels is a rounding error of the container."""


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Return the nine numbers of a frame's display matrix, in rows; None if it has none."""
    # `frame.side_data` would be a cycle of references: hundreds of images per source would wait for Python's collector.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # missing in PyAV's stubs
    return struct.unpack_from("=9i", bytes(data)) if isinstance(data, SideData) else None


def sample_aspect_ratio(video: VideoStream | VideoCodecContext) -> float:
    """Return the width of a pixel divided by its height; 1 if undeclared, implausible, or almost square."""
    ratio = float(video.sample_aspect_ratio or 1)
    is_plausible = 1 / MOST_ANAMORPHIC <= ratio <= MOST_ANAMORPHIC
    return ratio if is_plausible and abs(ratio - 1) > ALMOST_SQUARE else 1.0


def upright(image: ImageArray, matrix: Sequence[int]) -> ImageArray:
    """Rotate and mirror an image (H, W, 3) by a display matrix; other transformations have no effect.

    Args:
        image: the image as it is coded.
        matrix: nine numbers a, b, u, c, d, v, x, y, w in rows, which map a coded point (p, q) to the displayed point
            (a * p + c * q, b * p + d * q). They are rounded to the nearest of the eight orientations.
    """
    a, b, _, c, d = matrix[:5]
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, a, d = np.swapaxes(image, 0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
