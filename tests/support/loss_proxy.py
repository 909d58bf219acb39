"""Proxies that lose or damage RTP packets of an RTSP connection over TCP."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Literal

from streamseg.capture.rtsp.messages import Interleaved, MessageReader
from tests.support.fault_proxy import FaultProxy

__all__ = ["DamageProxy", "LossProxy"]


class LossProxy(FaultProxy):
    """Loses each RTP packet with a probability, as a camera with a full send buffer does; all else is forwarded.

    Args:
        target_port: the camera's port.
        probability: 0..1.
        seed: of the random numbers.
    """

    def __init__(self, target_port: int, probability: float, *, seed: int = 1) -> None:
        super().__init__(target_port)
        self._probability = probability
        self._random = random.Random(seed)
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
        data = found.data
        if found.channel == 0 and self._random.random() < self._probability:
            self.num_lost += 1
            data = self._faulty(data)
        return b"$" + bytes([found.channel]) + len(data).to_bytes(2, "big") + data if data else b""

    def _faulty(self, data: bytes) -> bytes:
        """Return what arrives of a packet that is hit."""
        return b""


class DamageProxy(LossProxy):
    """Damages each RTP packet with a probability; it arrives, and no gap shows it.

    Args:
        target_port: the camera's port.
        probability: 0..1.
        kind: flip: three bits are inverted somewhere after the RTP header. cut: the packet ends early. header: the RTP
            header is random.
        seed: of the random numbers.
    """

    def __init__(
        self, target_port: int, probability: float, kind: Literal["flip", "cut", "header"], *, seed: int = 1
    ) -> None:
        super().__init__(target_port, probability, seed=seed)
        self._kind = kind

    def _faulty(self, data: bytes) -> bytes:
        if self._kind == "cut":
            return data[: self._random.randrange(1, len(data))]
        if self._kind == "header":
            return self._random.randbytes(12) + data[12:]
        damaged = bytearray(data)
        for _ in range(3):
            damaged[self._random.randrange(12, len(data))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)
