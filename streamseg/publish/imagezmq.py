"""Images for the readers of imagezmq: `ImageHub(open_port=…, REQ_REP=False)`.

A message has two parts: a JSON object with the text `msg`, here the id of the source, and the image. For `recv_image`
the object has `dtype` and `shape`, too, and the image is an array in the order of OpenCV, BGR; for `recv_jpg` it is a
JPEG file.
"""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import zmq

from streamseg.errors import PublishError
from streamseg.publish.endpoints import bind, is_public, open_socket
from streamseg.resources import Resource
from streamseg.structures.arrays import ImageArray

__all__ = ["ImageSocket", "check_image_endpoint"]

QUEUE_IMAGES: Final = 2
"""Images that may wait for a subscriber: a slow one misses images and does not see old ones."""
LINGER_MS: Final = 250
MAX_SUBSCRIPTION_BYTES: Final = 4096


def check_image_endpoint(endpoint: str, *, allow_public: bool) -> None:
    """Raise PublishError if other machines can reach the endpoint and this is not allowed, or if it is invalid."""
    if is_public(endpoint) and not allow_public:
        raise PublishError(
            f"{endpoint} is reachable from other machines, and imagezmq knows no encryption; bind to 127.0.0.1, or set"
            " publish.allow_public"
        )


class ImageSocket(Resource):
    """Sends images to all subscribers and never waits for them. For one thread at a time.

    Args:
        endpoint: address to bind, tcp://HOST:PORT; port 0 lets the system choose.
        allow_public: allow an address that other machines can reach.

    Raises:
        PublishError: the endpoint is invalid, not permitted or in use.
    """

    def __init__(self, endpoint: str, *, allow_public: bool = False) -> None:
        check_image_endpoint(endpoint, allow_public=allow_public)
        self._context = zmq.Context()
        self._socket = open_socket(
            self._context,
            zmq.XPUB,
            linger_ms=LINGER_MS,
            max_message_bytes=MAX_SUBSCRIPTION_BYTES,
            queue_messages=QUEUE_IMAGES,
        )
        try:
            self.endpoint = bind(self._socket, endpoint, allow_public=allow_public)
            """Actual address."""
        except PublishError:
            self._context.term()
            raise
        self._topics: set[bytes] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether there is a subscriber."""
        while self._socket.poll(0):
            event = self._socket.recv()
            if event[:1] == b"\x01":
                self._topics.add(event[1:])
            elif event[:1] == b"\x00":
                self._topics.discard(event[1:])
        return bool(self._topics)

    def send_jpeg(self, text: str, jpeg: bytes) -> None:
        """Send a JPEG file, for `recv_jpg`."""
        self._send({"msg": text}, jpeg)

    def send_image(self, text: str, image: ImageArray) -> None:
        """Send an image, uint8 (H, W, 3) RGB, as an array in the order BGR, for `recv_image`."""
        array = np.ascontiguousarray(image[:, :, ::-1])
        self._send({"msg": text, "dtype": str(array.dtype), "shape": list(array.shape)}, array.tobytes())

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if not self._socket.closed:
            self._socket.close()
            self._context.term()

    def _send(self, header: dict[str, object], body: bytes) -> None:
        # XPUB discards what a full queue does not take, and never waits.
        self._socket.send_multipart([json.dumps(header).encode(), body])
