"""Sockets of an RTSP session. Every wait ends within `POLL_SECONDS` after the source is stopped."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, suppress
from typing import Final, NamedTuple

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.rtsp.session import Address, RtspSession, Transport
from streamseg.errors import SourceError

__all__ = ["Received", "RtspConnection"]

POLL_SECONDS: Final = 0.1
UDP_BUFFER_BYTES: Final = 4 * 2**20
"""Receive buffer of UDP: the default of Linux holds less than one keyframe in 4K."""
CHUNK_BYTES: Final = 2**16
PORT_ATTEMPTS: Final = 20


class Received(NamedTuple):
    """A packet with its time of arrival; without data if none arrived for a moment."""

    is_control: bool
    """True for RTCP."""
    data: bytes
    arrived_ns: int
    """Monotonic time in ns."""
    has_newer: bool = False
    """Whether more data had arrived by then: the reader is behind, for whatever reason."""


class RtspConnection:
    """One session with a server: connects, plays, receives and closes.

    Args:
        address: the address of the stream.
        name: the name of the source for error messages, without secrets.
        transports: transports in order of preference.
        timeout_seconds: time-out of the silence between two packets.
        response_seconds: time-out of the connection and of each response.
        stopped: ends all waits.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        transports: tuple[Transport, ...],
        timeout_seconds: float,
        response_seconds: float,
        stopped: threading.Event,
    ) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._response_seconds = response_seconds
        self._stopped = stopped
        self._resources = ExitStack()
        self._selector = self._resources.enter_context(selectors.DefaultSelector())
        self._ports: tuple[socket.socket, ...] = ()
        self.session = RtspSession(address, name=name, transports=transports, open_ports=self._open_ports)

    def close(self) -> None:
        """End the session and close all sockets. Idempotent."""
        if self.session.is_playing:
            self.session.tear_down()
            with suppress(OSError):  # the server may be gone
                self._socket.send(self.session.outgoing())
            self.session.is_playing = False
        self._resources.close()

    def packets(self) -> Generator[Received]:
        """Connect, play, and yield packets as they arrive, or one without data after `POLL_SECONDS` without any.

        Raises:
            SourceError: the server rejected a request, or sends no supported video.
            OSError: the connection failed, was lost, or was silent for too long.
        """
        self._connect()
        self.session.start(time.monotonic())
        self._send()
        heard_ns = time.monotonic_ns()
        while not self._stopped.is_set():
            if self.session.is_playing and time.monotonic() >= self.session.keep_alive_seconds:
                self.session.keep_alive(time.monotonic())
                self._send()
            was_playing = self.session.is_playing
            ready = self._wait()
            now_ns = time.monotonic_ns()
            for received in ready:
                if received is not self._socket:
                    data, is_control = _datagram(received), received is self._ports[1]
                    yield Received(is_control, data, now_ns, self._has_data())
                    heard_ns = time.monotonic_ns() if received is self._ports[0] else heard_ns
                    continue
                data = received.recv(CHUNK_BYTES)
                if not data:
                    return
                packets = list(self.session.receive(data))
                for place, media in enumerate(packets, start=1):
                    has_newer = place < len(packets) or self._has_data()
                    yield Received(media.is_control, media.data, now_ns, has_newer)
                    # The silence begins when the packet has been processed, which may take longer on a busy machine.
                    heard_ns = heard_ns if media.is_control else time.monotonic_ns()
                if not self.session.is_playing or not was_playing:
                    heard_ns = now_ns
                self._send()
                if self.session.is_playing and not was_playing:
                    self._open_path()
            if not ready:
                is_playing = self.session.is_playing
                limit_seconds = self._timeout_seconds if is_playing else self._response_seconds
                if now_ns - heard_ns >= limit_seconds * NS_PER_SECOND:
                    missing = "data" if is_playing else "response"
                    raise TimeoutError(errno.ETIMEDOUT, f"no {missing} for {limit_seconds:g} s")
                if self.session.is_playing:
                    yield Received(False, b"", now_ns)

    def _wait(self) -> list[socket.socket]:
        """Return the sockets with data; empty after `POLL_SECONDS`."""
        found = [key.fileobj for key, _ in self._selector.select(POLL_SECONDS)]
        return [one for one in found if isinstance(one, socket.socket)]

    def _has_data(self) -> bool:
        """Return whether data has arrived that was not read."""
        return bool(self._selector.select(0))

    def _connect(self) -> None:
        """Connect to the first address of the host that accepts, in turns of `response_seconds`."""
        failure = OSError(errno.EHOSTUNREACH, "the host has no address")
        addresses = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            connecting = socket.socket(family, kind, protocol)
            try:
                connecting.setblocking(False)
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._finish_connecting(connecting, connecting.connect_ex(address))
            except OSError as error:
                connecting.close()
                failure = error
            else:
                self._socket = self._resources.enter_context(closing(connecting))
                self._selector.register(connecting, selectors.EVENT_READ)
                return
        raise failure

    def _finish_connecting(self, connecting: socket.socket, code: int) -> None:
        """Wait for the result of `connect_ex`."""
        if code == errno.EINPROGRESS:
            self._wait_until_writable(connecting)
            code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _wait_until_writable(self, waiting: socket.socket) -> None:
        ends_at = time.monotonic() + self._response_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(waiting, selectors.EVENT_WRITE)
            while not selector.select(POLL_SECONDS):
                if self._stopped.is_set():
                    raise SourceError("stopped")
                if time.monotonic() >= ends_at:
                    raise TimeoutError(errno.ETIMEDOUT, f"no response for {self._response_seconds:g} s")

    def _send(self) -> None:
        data = self.session.outgoing()
        while data:
            self._wait_until_writable(self._socket)
            data = data[self._socket.send(data) :]

    def _open_ports(self) -> tuple[int, int]:
        """Open an even port for RTP and the next one for RTCP, on the local address of the connection."""
        host = self._socket.getsockname()[0]
        for _ in range(PORT_ATTEMPTS):
            first = socket.socket(self._socket.family, socket.SOCK_DGRAM)
            second = socket.socket(self._socket.family, socket.SOCK_DGRAM)
            try:
                first.bind((host, 0))
                port: int = first.getsockname()[1]
                if port % 2 == 0:
                    second.bind((host, port + 1))
                    self._ports = (first, second)
                    break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            finally:
                if not self._ports:
                    first.close()
                    second.close()
        else:
            raise OSError(errno.EADDRINUSE, "no pair of free UDP ports")
        first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
        for port_socket in self._ports:
            self._resources.enter_context(closing(port_socket))
            port_socket.setblocking(False)
            self._selector.register(port_socket, selectors.EVENT_READ)
        return port, port + 1

    def _open_path(self) -> None:
        """Accept UDP packets of the server only, and let them through firewalls: these pass replies."""
        if not self._ports or self.session.server_ports is None:
            return
        host = self._socket.getpeername()[0]
        for own, port in zip(self._ports, self.session.server_ports, strict=True):
            own.connect((host, port))
            own.send(b"\x80\xc9\x00\x01\x00\x00\x00\x00")  # an empty receiver report


def _datagram(port: socket.socket) -> bytes:
    """Return a datagram; empty if there is none, for example because a reply said that a port is closed."""
    try:
        return port.recv(CHUNK_BYTES)
    except (BlockingIOError, ConnectionRefusedError):
        return b""
