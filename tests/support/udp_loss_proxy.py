"""A proxy of an RTSP session over UDP that loses, reorders, delays and damages the RTP packets."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from functools import partial

from tests.support.delay_line import DelayLine
from tests.support.fault_proxy import FaultProxy

__all__ = ["UdpLossProxy"]


class UdpLossProxy(FaultProxy):
    """Forwards one session at a time. It puts its own ports in place of those that both sides agree on in SETUP.

    Args:
        target_port: the camera's port.
        loss: probability 0..1 that an RTP packet is lost.
        reorder: probability 0..1 that an RTP packet is overtaken by the next one.
        delay_seconds: least and greatest delay of an RTP packet; each is delayed on its own, so that the order changes.
        seed: of the random numbers.
    """

    def __init__(
        self,
        target_port: int,
        *,
        loss: float = 0.0,
        reorder: float = 0.0,
        delay_seconds: tuple[float, float] = (0.0, 0.0),
        seed: int = 1,
    ) -> None:
        super().__init__(target_port)
        self._loss, self._reorder, self._delay_seconds = loss, reorder, delay_seconds
        self._random = random.Random(seed)
        self._line = DelayLine()
        self._sockets: list[socket.socket] = []
        self._session: list[socket.socket] = []
        """Two that the camera sends to, for RTP and RTCP, and two that the reader knows."""
        self._threads: list[threading.Thread] = []
        self._reader_ports: tuple[int, int] = (0, 0)
        self.num_lost = self.num_overtaken = 0

    def close(self) -> None:
        """Close everything."""
        super().close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()
        self._line.close()

    def _pump(self, source: socket.socket, target: socket.socket, *, is_video: bool) -> None:
        """Forward the requests or responses, whose ports are replaced."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                name = rb"server_port" if is_video else rb"client_port"
                found = re.search(name + rb"=(\d+)-(\d+)", data)
                if found is not None:
                    if not is_video:
                        self._session = []
                    pair = self._pair()
                    data = data.replace(found[0], name + f"={pair[0]}-{pair[1]}".encode())
                    if not is_video:
                        self._reader_ports = (int(found[1]), int(found[2]))
                    else:
                        data = re.sub(rb"client_port=\d+-\d+", b"client_port=%d-%d" % self._reader_ports, data)
                        self._forward()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pair(self) -> tuple[int, int]:
        pair = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
        for one in pair:
            one.bind(("127.0.0.1", 0))
        self._sockets += pair
        self._session += pair
        return pair[0].getsockname()[1], pair[1].getsockname()[1]

    def _forward(self) -> None:
        """Forward from the pair that the camera sends to, through the pair that the reader knows."""
        for place in range(2):
            thread = threading.Thread(
                target=self._forward_packets,
                args=(self._session[place], self._session[2 + place], self._reader_ports[place], place == 0),
            )
            self._threads.append(thread)
            thread.start()

    def _forward_packets(self, received: socket.socket, sender: socket.socket, port: int, is_video: bool) -> None:
        overtaken = b""
        with contextlib.suppress(OSError):
            while data := received.recv(65536):
                chance = self._random.random() if is_video else 1.0
                if chance < self._loss:
                    self.num_lost += 1
                    continue
                if is_video and self._delay_seconds[1]:
                    send = partial(sender.sendto, data, ("127.0.0.1", port))
                    self._line.add(self._random.uniform(*self._delay_seconds), send)
                    continue
                if not overtaken and chance < self._loss + self._reorder:
                    self.num_overtaken += 1
                    overtaken = data
                    continue
                sender.sendto(data, ("127.0.0.1", port))
                if overtaken:
                    sender.sendto(overtaken, ("127.0.0.1", port))
                    overtaken = b""
