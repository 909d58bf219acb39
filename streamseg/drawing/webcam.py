"""Virtual webcam: images to a device of v4l2loopback, by FFmpeg, for programs that read cameras."""

from __future__ import annotations

import os
import struct
import sys
from fractions import Fraction
from typing import Final

import av
import av.error
import cv2
import numpy as np
from av.video.stream import VideoStream

from streamseg.drawing.yuv import yuv420
from streamseg.errors import ConfigError, DataError, reason_of
from streamseg.structures.arrays import ImageArray

__all__ = ["VirtualWebcam", "check_webcam"]

QUERY_CAPABILITIES: Final = 0x80685600
"""VIDIOC_QUERYCAP of Linux's videodev2.h."""
CAPABILITIES: Final = struct.Struct("=16s32s32sIII12x")
"""struct v4l2_capability: driver, card, bus, version, capabilities, capabilities of this device."""
VIDEO_OUTPUT: Final = 0x00000002
HINT: Final = (
    "load the kernel module v4l2loopback: modprobe v4l2loopback video_nr=9 card_label=streamseg exclusive_caps=1"
)
TIME_BASE: Final = Fraction(1, 1000)


def check_webcam(device: str) -> None:
    """Raise ConfigError unless a path is a video device that can be written to."""
    if not sys.platform.startswith("linux"):
        raise ConfigError(f"a virtual webcam needs Linux with v4l2loopback, this is {sys.platform}")
    import fcntl  # of Unix only

    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no virtual webcam {device}; {HINT}") from error
    except OSError as error:
        raise ConfigError(f"cannot open the virtual webcam {device}: {reason_of(error)}") from error
    try:
        answer = bytearray(CAPABILITIES.size)
        fcntl.ioctl(descriptor, QUERY_CAPABILITIES, answer)
        *_, all_capabilities, capabilities = CAPABILITIES.unpack(answer)
    except OSError as error:
        raise ConfigError(f"{device} is no video device ({reason_of(error)}); {HINT}") from error
    finally:
        os.close(descriptor)
    if not (all_capabilities | capabilities) & VIDEO_OUTPUT:
        raise ConfigError(f"{device} cannot be written to: it is a camera, or another program writes to it; {HINT}")


class VirtualWebcam:
    """Writes images to a device, which other programs read as a webcam; use one thread at a time.

    The device is opened with the first image, whose size it keeps: later ones of another size are scaled to it.

    Args:
        device: path of the device, such as /dev/video9; see `check_webcam`.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._container: av.container.OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._num_frames = 0

    def write(self, image: ImageArray) -> None:
        """Display an image, uint8 (H, W, 3) RGB; an odd row or column is cut off.

        Raises:
            DataError: the device cannot be opened, or rejects the image. The next image opens it again.
        """
        try:
            if self._container is None:
                self._open(image.shape[0] // 2 * 2, image.shape[1] // 2 * 2)
            assert self._container is not None
            assert self._stream is not None
            frame = av.VideoFrame.from_ndarray(yuv420(self._fitted(image)), format="yuv420p")
            frame.pts, frame.time_base = self._num_frames, TIME_BASE
            self._num_frames += 1
            self._container.mux(self._stream.encode(frame))
        except (OSError, av.error.FFmpegError) as error:
            self.close()
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            raise DataError(f"cannot write to the virtual webcam {self._device}: {reason}") from error

    def close(self) -> None:
        """Close the device. Idempotent."""
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            # The trailer of this format is empty; it fails if the device has gone, of which `write` has told.
            try:
                container.close()
            except (OSError, av.error.FFmpegError) as error:
                raise DataError(f"cannot close the virtual webcam {self._device}: {error}") from error

    def _open(self, height: int, width: int) -> None:
        container = av.open(self._device, "w", format="v4l2")
        stream = container.add_stream("rawvideo")
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        self._container, self._stream = container, stream

    def _fitted(self, image: ImageArray) -> ImageArray:
        assert self._stream is not None
        height, width = self._stream.height, self._stream.width
        if image.shape[0] // 2 * 2 == height and image.shape[1] // 2 * 2 == width:
            return np.ascontiguousarray(image[:height, :width])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
