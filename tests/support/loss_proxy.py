"""A proxy that loses RTP packets of an RTSP connection over TCP, as a camera with a full send buffer does."""

from __future__ import annotations

import contextlib
import random
import socket

from streamseg.capture.rtsp.messages import Interleaved, MessageReader
from tests.support.fault_proxy import FaultProxy

__all__ = ["LossProxy"]


class LossProxy(FaultProxy):
    """Loses each RTP packet with a probability; everything else is forwarded.

    Args:
        target_port: the camera's port.
        probability: 0..1.
    """

    def __init__(self, target_port: int, probability: float) -> None:
        super().__init__(target_port)
        self._probability = probability
        self._random = random.Random(1)
        self.num_lost = 0

    def _pump(self, source: socket.socket, target: socket.socket, *, is_video: bool) -> None:
        if not is_video:
            super()._pump(source, target, is_video=False)
            return
        reader = MessageReader(name="camera")
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if b"RTSP/1.0" in data:  # responses pass as they are; they end before the first packet
                    target.sendall(data)
                    continue
                target.sendall(b"".join(self._kept(found) for found in reader.feed(data)))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _kept(self, found: object) -> bytes:
        if not isinstance(found, Interleaved):
            return b""
        if found.channel == 0 and self._random.random() < self._probability:
            self.num_lost += 1
            return b""
        return b"$" + bytes([found.channel]) + len(found.data).to_bytes(2, "big") + found.data
