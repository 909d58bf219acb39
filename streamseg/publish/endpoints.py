"""Validate endpoints, and open, bind and connect sockets with settings for live video."""

from __future__ import annotations

import ipaddress
import re
import socket as sockets
from typing import Any, Final

import zmq

from streamseg.errors import PublishError

__all__ = ["Context", "Socket", "bind", "check_endpoint", "connect", "is_loopback", "is_public", "open_socket"]

Context = zmq.Context[Any]
Socket = zmq.Socket[bytes]

HEARTBEAT_INTERVAL_MS: Final = 2000
HEARTBEAT_TIMEOUT_MS: Final = 6000
"""ZeroMQ's heartbeats are off by default: a peer whose cable was unplugged would stay connected forever."""
HANDSHAKE_TIMEOUT_MS: Final = 5000
"""Connections that say nothing are closed after this time; ZeroMQ keeps them for 30 s."""
RECONNECT_INTERVAL_MS: Final = 100
MAX_RECONNECT_INTERVAL_MS: Final = 2000

_TCP = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.%a-z]+\]|[^\[\]:/\s]+):(?P<port>\d{1,5}|\*)")
_LOCAL = re.compile(r"(ipc|inproc)://(?P<name>\S.*)")
_FORMS: Final = "tcp://127.0.0.1:5555, ipc:///tmp/NAME or inproc://NAME"


def open_socket(context: Context, kind: int, *, linger_ms: int, max_message_bytes: int, queue_messages: int) -> Socket:
    """Open a socket, replacing every default that is unsuitable for untrusted peers or for live video.

    Args:
        context: creates the socket.
        kind: zmq.XPUB, zmq.SUB, ….
        linger_ms: how long queued messages may delay the termination of the context.
        max_message_bytes: a peer that sends a larger part is disconnected.
        queue_messages: maximum queue length per peer and direction.
    """
    socket: Socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, linger_ms)
    socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
    socket.setsockopt(zmq.SNDHWM, queue_messages)
    socket.setsockopt(zmq.RCVHWM, queue_messages)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_INTERVAL_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, MAX_RECONNECT_INTERVAL_MS)
    return socket


def bind(socket: Socket, endpoint: str, *, allow_public: bool) -> str:
    """Bind and return the actual address; port 0 lets the system choose a port.

    Raises:
        PublishError: the endpoint is invalid, not permitted, in use, or reachable from other machines without
            `allow_public`. The socket is closed.
    """
    try:
        host = check_endpoint(endpoint, allow_public=allow_public)
        if endpoint.startswith("ipc://") and _is_served(endpoint.removeprefix("ipc://")):
            raise PublishError(f"cannot bind {endpoint}: it is in use; choose another path")
        if host is not None and host.startswith("["):
            socket.setsockopt(zmq.IPV6, 1)
        socket.bind(endpoint)
        return socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\x00")
    except zmq.ZMQError as error:
        socket.close(linger=0)
        if error.errno == zmq.EADDRINUSE:
            raise PublishError(
                f"cannot bind {endpoint}: it is in use; choose another port, or 0 to let the system choose"
            ) from error
        raise PublishError(f"cannot bind {endpoint}: {zmq.strerror(error.errno or 0)}") from error
    except PublishError:
        socket.close(linger=0)
        raise


def connect(socket: Socket, endpoint: str) -> None:
    """Connect. ZeroMQ connects in the background, and reconnects whenever the peer returns.

    Raises:
        PublishError: the endpoint is invalid or has no port. The socket is closed.
    """
    try:
        host = _check(endpoint)
        if endpoint.endswith((":0", ":*")) and host is not None:
            raise PublishError(f"cannot connect to {endpoint}: use the port that the publisher printed")
        if host is not None and host.startswith("["):
            socket.setsockopt(zmq.IPV6, 1)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise PublishError(f"cannot connect to {endpoint}: {zmq.strerror(error.errno or 0)}") from error
    except PublishError:
        socket.close(linger=0)
        raise


def check_endpoint(endpoint: str, *, allow_public: bool) -> str | None:
    """Return the host of a TCP endpoint to bind, or None for the local transports.

    Raises:
        PublishError: the endpoint is invalid, or reachable from other machines without `allow_public`.
    """
    host = _check(endpoint)
    if not allow_public and is_public(endpoint):
        raise PublishError(
            f"{endpoint} is reachable from other machines, without encryption; set up keys (streamseg keys new,"
            " publish.curve), bind to 127.0.0.1 or ipc://, or set allow_public"
        )
    return host


def is_public(endpoint: str) -> bool:
    """Return whether other machines can reach a valid endpoint."""
    host = _check(endpoint)
    return host is not None and not is_loopback(host)


def _check(endpoint: str) -> str | None:
    """Return the host of a TCP endpoint, or None for the local transports."""
    if _LOCAL.fullmatch(endpoint):
        return None
    match = _TCP.fullmatch(endpoint)
    # libzmq reads port 99999 as 34463.
    if match is None or (match["port"] != "*" and int(match["port"]) > 65535):
        raise PublishError(f"invalid endpoint {endpoint[:100]!r}; use {_FORMS} with a port up to 65535")
    return match["host"]


def is_loopback(host: str) -> bool:
    """Return whether a server that listens on this host can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # `*`, a network interface, or a name that may resolve to any address


def _is_served(path: str) -> bool:
    """Return whether a process listens on the path: libzmq would silently take it over."""
    if path == "*" or path.startswith("@") or not hasattr(sockets, "AF_UNIX"):
        return False
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        try:
            return probe.connect_ex(path) == 0
        except OSError:
            return False  # path too long for a socket; libzmq reports it better
