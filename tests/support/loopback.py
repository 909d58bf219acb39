"""A TCP server for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class LoopbackServer:
    """TCP server on a port chosen by the system; handles each connection with `serve` in its own thread.

    `serve` receives the connected socket. The server closes all remaining sockets when it closes. Give `port` only to
    start again where an earlier server has ended.
    """

    def __init__(self, serve: Callable[[socket.socket], None], *, port: int = 0) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.num_connections = 0
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="loopback-server")
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.num_connections += 1
            self._connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), name="loopback-connection")
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except OSError:
            return  # the peer disconnected, or the server is closing

    def close(self) -> None:
        """Close all sockets and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> LoopbackServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
