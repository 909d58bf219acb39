"""Sinks of the images that people watch: the virtual webcam, and the readers of imagezmq."""

from __future__ import annotations

import logging
from typing import Literal, Protocol

from streamseg.drawing.webcam import VirtualWebcam, check_webcam
from streamseg.pipeline import FrameResult
from streamseg.publish.imagezmq import ImageSocket
from streamseg.publish.jpeg import encode_jpeg
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.structures.arrays import ImageArray

__all__ = ["Camera", "ImageZmqSink", "WebcamSink"]

logger = logging.getLogger(__name__)


class Camera(Protocol):
    """A virtual webcam."""

    def write(self, image: ImageArray) -> None:
        """Display an image, uint8 (H, W, 3) RGB; raise DataError if the device rejects it."""
        ...

    def close(self) -> None:
        """Close the device. Idempotent."""
        ...


class WebcamSink:
    """Displays the images of one source on a virtual webcam, with the effect or, without one, with the overlay.

    Args:
        camera: the virtual webcam; closed with the sink.
        source_id: source of the images; those of others are ignored.
    """

    policy = SinkPolicy("webcam", capacity=1, keep="newest")

    def __init__(self, camera: Camera, source_id: str) -> None:
        self._source_id = source_id
        self._camera = camera

    @classmethod
    def open(cls, device: str, source_id: str) -> WebcamSink:
        """Return the sink for a device, such as /dev/video9.

        Raises:
            ConfigError: the device is missing, or cannot be written to.
        """
        check_webcam(device)
        return cls(VirtualWebcam(device), source_id)

    def write(self, result: FrameResult) -> None:
        """Display one frame.

        Raises:
            DataError: the device rejects it.
        """
        if result.frame.source_id == self._source_id:
            self._camera.write(result.drawn_image())

    def close(self) -> None:
        """Close the device. Idempotent."""
        self._camera.close()


class ImageZmqSink:
    """Sends the images of all sources to the readers of imagezmq, with the effect or, without one, with the overlay.

    Args:
        endpoint: address to bind.
        image_format: jpeg or raw, which the readers must know.
        jpeg_quality: 1..100.
        allow_public: allow an address that other machines can reach.

    Raises:
        PublishError: the endpoint is invalid, not permitted or in use.
    """

    policy = SinkPolicy("imagezmq", capacity=1, keep="newest")

    def __init__(
        self, endpoint: str, *, image_format: Literal["jpeg", "raw"], jpeg_quality: int, allow_public: bool
    ) -> None:
        self._socket = ImageSocket(endpoint, allow_public=allow_public)
        self._format = image_format
        self._jpeg_quality = jpeg_quality
        logger.info("images for imagezmq at %s", self.endpoint)

    @property
    def endpoint(self) -> str:
        """Actual address."""
        return self._socket.endpoint

    def write(self, result: FrameResult) -> None:
        """Send one frame, if there is a reader."""
        if not self._socket.is_wanted:
            return
        if self._format == "jpeg":
            jpeg = encode_jpeg(result.drawn_image(), self._jpeg_quality)
            self._socket.send_jpeg(result.frame.source_id, jpeg)
        else:
            self._socket.send_image(result.frame.source_id, result.drawn_image())

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()
