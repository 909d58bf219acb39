"""Forward the messages of several publishers to subscribers at one address."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final

import zmq

from streamseg.publish.authentication import Gate, authenticate_client
from streamseg.publish.endpoints import Context, Socket, bind, connect, open_socket
from streamseg.publish.keys import ClientKeys, ServerKeys
from streamseg.publish.socket import LINGER_MS, MAX_SUBSCRIPTION_BYTES
from streamseg.publish.subscriber import MAX_PART_BYTES
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource

__all__ = ["Proxy"]

QUEUE_MESSAGES: Final = 64
"""Queue length per subscriber and per publisher, in messages; a full one drops new messages of that peer."""
MAX_MESSAGES_AT_ONCE: Final = 256
"""Messages that are forwarded before subscriptions and commands are served again."""


class Proxy(Resource):
    """Subscribers connect here instead of to each publisher; the proxy connects to those.

    Messages pass unchanged and undecoded. Subscriptions are passed on to all publishers, so that they encode, and
    send over the network, only what somebody reads. A subscriber that is too slow loses messages, no other does.

    Args:
        endpoint: address for subscribers; port 0 lets the system choose a port.
        keys: encrypt it with CURVE, and admit only subscribers with an allowed key; None: no encryption.
        publisher_keys: the keys with which the proxy connects to the publishers; None: they are not encrypted.
        allow_public: allow an endpoint that other machines can reach without `keys`.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        keys: ServerKeys | None = None,
        publisher_keys: ClientKeys | None = None,
        allow_public: bool = False,
    ) -> None:
        self._context: Context = zmq.Context()
        with contextlib.ExitStack() as undo:
            undo.callback(self._context.term)
            self._gate = undo.enter_context(Gate(self._context, keys, "read"))
            self._front = self._open(zmq.XPUB, MAX_SUBSCRIPTION_BYTES, linger_ms=LINGER_MS)
            undo.callback(self._front.close)
            # Every subscription is counted here, so that the publishers are told of the first and the last one of each.
            self._front.setsockopt(zmq.XPUB_VERBOSER, 1)
            self._gate.protect(self._front)
            self.endpoint = bind(self._front, endpoint, allow_public=allow_public or self._gate.is_encrypted)
            """Actual address."""
            self._back = self._open(zmq.XSUB, MAX_PART_BYTES, linger_ms=0)
            authenticate_client(self._back, publisher_keys)
            undo.pop_all()
        self._subscriptions: Counter[bytes] = Counter()
        self._lock = threading.Lock()
        self._wanted: frozenset[str] = frozenset()
        self._connected: set[str] = set()
        self._num_messages = 0
        self._is_closing = False
        self._wake_up = WakeUp()
        # From its start, the thread owns the sockets.
        self._thread = SocketThread("streamseg proxy", self._serve, lambda: None)
        self._thread.start()

    def set_publishers(self, endpoints: Iterable[str]) -> None:
        """Connect to these publishers, and disconnect from all others. Thread-safe.

        Raises:
            PublishError: the proxy's thread has failed.
        """
        self._thread.check()
        with self._lock:
            self._wanted = frozenset(endpoints)
        self._wake_up.set()

    @property
    def num_messages(self) -> int:
        """Number of messages forwarded so far."""
        return self._num_messages

    def close(self) -> None:
        """Release the sockets. Idempotent."""
        with self._lock:
            was_closing, self._is_closing = self._is_closing, True
        if was_closing:
            return
        self._wake_up.set()
        self._thread.join()
        self._wake_up.close()
        self._gate.close()
        self._context.term()
        self._thread.check()

    def _open(self, kind: int, max_message_bytes: int, *, linger_ms: int) -> Socket:
        return open_socket(
            self._context,
            kind,
            linger_ms=linger_ms,
            max_message_bytes=max_message_bytes,
            queue_messages=QUEUE_MESSAGES,
        )

    def _serve(self) -> None:
        """Run in the thread until the proxy is closed."""
        poller = zmq.Poller()
        poller.register(self._wake_up.fileno(), zmq.POLLIN)
        poller.register(self._front, zmq.POLLIN)
        poller.register(self._back, zmq.POLLIN)
        try:
            while not self._is_closing:
                poller.poll()
                self._wake_up.clear()
                self._connect()
                self._forward_subscriptions()
                self._forward_messages()
        finally:
            self._front.close()
            self._back.close()

    def _connect(self) -> None:
        with self._lock:
            wanted = self._wanted
        for endpoint in self._connected - wanted:
            self._back.disconnect(endpoint)
        for endpoint in sorted(wanted - self._connected):
            # A new publisher receives all present subscriptions from ZeroMQ.
            connect(self._back, endpoint)
        self._connected = set(wanted)

    def _forward_subscriptions(self) -> None:
        for _ in range(MAX_MESSAGES_AT_ONCE):
            try:
                event = self._front.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            if event[:1] not in (b"\x00", b"\x01"):
                continue  # not a subscription event
            prefix, before = event[1:], self._subscriptions[event[1:]]
            self._subscriptions[prefix] = max(before + (1 if event[:1] == b"\x01" else -1), 0)
            after = self._subscriptions[prefix]
            if not after:
                del self._subscriptions[prefix]
            if (before == 0) != (after == 0):
                self._back.send(event)

    def _forward_messages(self) -> None:
        for _ in range(MAX_MESSAGES_AT_ONCE):
            try:
                parts = self._back.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._front.send_multipart(parts, zmq.DONTWAIT, copy=False)
            self._num_messages += 1
