"""Watch the handshakes of a client socket: explain refusals, and connect again, which libzmq does not do after one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import zmq

from streamseg.publish.endpoints import Socket

__all__ = ["RETRY_SECONDS", "Handshakes"]

RETRY_SECONDS: Final = 2.0
"""Time between a refusal and the next attempt: the server may have been restarted with other keys."""

OTHER_KEY: Final = "it has another key than the given one, or none; give the public key of this server"

CLOSED: Final = "it closed the connection; probably it admits only clients with a key, or speaks another protocol"

EVENTS: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class Handshakes:
    """The outcome of the handshakes of one client socket. Belongs to the thread of the socket.

    Args:
        socket: a socket that is not connected yet.
        endpoint: the endpoint that it connects to.
        has_keys: whether the socket is encrypted.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, socket: Socket, endpoint: str, *, has_keys: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = socket
        self._endpoint = endpoint
        self._has_keys = has_keys
        self._clock = clock
        self._retry_at: float | None = None
        self._monitor = socket.get_monitor_socket(EVENTS)
        self.refusal: str | None = None
        """Why the server refused the last connection, in words; None if it has not."""

    @property
    def monitor(self) -> Socket:
        """Socket to poll for input; then call `update`."""
        return self._monitor

    @property
    def wait_ms(self) -> int | None:
        """How long to poll until `update` has something to do, in milliseconds; None: no limit."""
        return None if self._retry_at is None else max(int((self._retry_at - self._clock()) * 1000) + 1, 0)

    def update(self, *, retry_now: bool = False) -> None:
        """Read the events so far, and connect again if the server refused the connection some time ago.

        Args:
            retry_now: do not wait `RETRY_SECONDS`.
        """
        from zmq.utils.monitor import recv_monitor_message

        while self._monitor.poll(0):
            self._handle(zmq.Event(recv_monitor_message(self._monitor)["event"]))
        if self._retry_at is not None and (retry_now or self._clock() >= self._retry_at):
            self._retry_at = None
            # libzmq has given up this connection, but still lists it.
            self._socket.disconnect(self._endpoint)
            self._socket.connect(self._endpoint)

    def close(self) -> None:
        """Close the monitor; the socket ends monitoring when it is closed. Idempotent."""
        self._monitor.close(linger=0)

    def _handle(self, event: zmq.Event) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.refusal = None
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.refusal = "it does not admit this key; add the public key to its publish.curve"
            self._retry_at = self._clock() + RETRY_SECONDS
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self.refusal = OTHER_KEY if self._has_keys else "it admits only clients with a key"
            self._retry_at = self._clock() + RETRY_SECONDS
        else:
            # The server could not read the first message, and closed the connection, which may arrive before its reason
            # does. libzmq tries again by itself.
            self.refusal = OTHER_KEY if self._has_keys else CLOSED
