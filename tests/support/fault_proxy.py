"""A TCP proxy between a camera and its reader that stalls, forgets, cuts or refuses connections."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal

from tests.support.loopback import LoopbackServer

__all__ = ["FaultProxy"]

Mode = Literal["pass", "stall", "forget", "refuse"]
"""pass    forward everything
stall   keep the connections, and forward nothing from the camera until the mode changes
forget  keep the connections, and throw away what the camera sends (half-open)
refuse  accept connections, and close them at once
"""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` reset the connection."""


class FaultProxy:
    """Forwards connections to a camera on this machine; use it as a context manager.

    Args:
        target_port: the camera's port.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._changed = threading.Condition()
        self._mode: Mode = "pass"
        self._is_closing = False
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._server = LoopbackServer(self._serve)
        self.port = self._server.port

    def set_mode(self, mode: Mode) -> None:
        """Change what happens to all connections from now on."""
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def cut(self) -> None:
        """Reset all connections."""
        with self._changed:
            pairs = tuple(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self.cut()
        self._server.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self, reader: socket.socket) -> None:
        if self._mode == "refuse":
            reader.shutdown(socket.SHUT_RDWR)
            return
        try:
            camera = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            reader.shutdown(socket.SHUT_RDWR)
            return
        with camera:
            pair = (reader, camera)
            with self._changed:
                self._pairs.add(pair)
            upstream = threading.Thread(target=self._pump, args=(reader, camera), kwargs={"is_video": False})
            upstream.start()
            self._pump(camera, reader, is_video=True)
            upstream.join()
            with self._changed:
                self._pairs.discard(pair)

    def _pump(self, source: socket.socket, target: socket.socket, *, is_video: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_video:
                    with self._changed:
                        self._changed.wait_for(lambda: self._mode != "stall" or self._is_closing)
                        if self._mode == "forget":
                            continue
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
