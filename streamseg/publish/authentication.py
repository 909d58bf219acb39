"""Encrypt sockets with CURVE, and admit only clients whose keys are allowed.

CURVE alone admits every client that knows the server's public key: the authenticator (ZeroMQ's ZAP, RFC 27) decides
by the client's own key. Each role is a ZAP domain, so that a key for reading cannot open the control channel.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import zmq

from streamseg.errors import PublishError
from streamseg.publish.endpoints import Context, Socket
from streamseg.publish.keys import ClientKeys, Role, ServerKeys
from streamseg.resources import Resource

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

__all__ = ["Gate", "authenticate_client"]

MAX_LOGGED_KEYS: Final = 100
"""Number of refused keys that are logged, each once: strangers must not fill the log."""

_LOGGER = logging.getLogger(__name__)
_SILENT = logging.Logger("streamseg.publish.authentication.zap", logging.CRITICAL)
"""Logger of pyzmq's authenticator, whose records contain credentials; refused keys are logged here."""


class Gate(Resource):
    """The authenticator of the server sockets of one context. Does nothing without keys.

    Args:
        context: context of the sockets; only one gate with keys is possible per context.
        keys: the server's keys; None: sockets are not encrypted, and every client may connect.
        role: role that a client must have.

    Raises:
        PublishError: the context has a gate already.
    """

    def __init__(self, context: Context, keys: ServerKeys | None, role: Role) -> None:
        self._keys = keys
        self._domain = f"streamseg.{role}"
        self._authenticator: ThreadAuthenticator | None = None
        if keys is not None:
            from zmq.auth.thread import ThreadAuthenticator  # imports asyncio, which nothing else here needs

            self._authenticator = ThreadAuthenticator(context, log=_SILENT)
            self._authenticator.configure_curve_callback(self._domain, _Allowed(keys.allowed(role), role))
            try:
                self._authenticator.start()
            except zmq.ZMQError as error:
                self._authenticator.stop()
                raise PublishError("only one server with keys is possible per context; give each its own") from error

    @property
    def is_encrypted(self) -> bool:
        """Whether sockets are encrypted and only allowed clients may connect."""
        return self._keys is not None

    def protect(self, socket: Socket) -> None:
        """Encrypt a socket that is not bound yet."""
        if self._keys is not None:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
            socket.setsockopt(zmq.ZAP_DOMAIN, self._domain.encode("ascii"))

    def close(self) -> None:
        """Stop the authenticator. Idempotent."""
        authenticator, self._authenticator = self._authenticator, None
        if authenticator is not None:
            authenticator.stop()


def authenticate_client(socket: Socket, keys: ClientKeys | None) -> None:
    """Encrypt a client socket that is not connected yet; without keys do nothing."""
    if keys is not None:
        socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server)


class _Allowed:
    """Decides about clients by their public keys, for pyzmq's authenticator."""

    def __init__(self, keys: frozenset[bytes], role: Role) -> None:
        self._keys = keys
        self._role = role
        self._refused: set[bytes] = set()

    def callback(self, domain: str, key: bytes) -> bool:
        """Return whether the client with this key, in Z85, may connect."""
        if key in self._keys:
            return True
        if key not in self._refused and len(self._refused) < MAX_LOGGED_KEYS:
            self._refused.add(key)
            _LOGGER.warning(
                "a client was refused: its key %s is not allowed to %s; if it is meant to be, add it to publish.curve",
                key.decode("ascii", "replace"),
                self._role,
            )
        return False
