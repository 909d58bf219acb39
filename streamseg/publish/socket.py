"""One publishing socket: tracks subscriptions and sends without blocking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import zmq

from streamseg.publish.authentication import Gate
from streamseg.publish.endpoints import Context, bind, open_socket
from streamseg.wire import pack_single

__all__ = ["PublishSocket"]

QUEUE_MESSAGES: Final = 32
"""Queue length per subscriber. Enough for a batch of many sources; limits the memory of a stalled subscriber."""
LINGER_MS: Final = 250
"""Time for the last messages of a file to leave. A stalled subscriber delays `close` no longer than this."""
MAX_SUBSCRIPTION_BYTES: Final = 4096


class PublishSocket:
    """An XPUB socket. All methods except `is_wanted` belong to one thread.

    Args:
        context: creates the socket.
        endpoint: address to bind.
        is_single: send each message as one part (`pack_single`), for readers with CONFLATE.
        gate: authenticator of the context.
        allow_public: allow an endpoint that other machines can reach, without encryption.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(self, context: Context, endpoint: str, *, is_single: bool, gate: Gate, allow_public: bool) -> None:
        self.socket = open_socket(
            context,
            zmq.XPUB,
            linger_ms=LINGER_MS,
            max_message_bytes=MAX_SUBSCRIPTION_BYTES,
            queue_messages=QUEUE_MESSAGES,
        )
        # Report every subscription, not only the first of its prefix, because each new subscriber gets the status.
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        gate.protect(self.socket)
        self.endpoint = bind(self.socket, endpoint, allow_public=allow_public or gate.is_encrypted)
        """Actual address."""
        self._is_single = is_single
        self._subscriptions: Counter[bytes] = Counter()
        self._prefixes: frozenset[bytes] = frozenset()

    def read_subscriptions(self) -> list[bytes]:
        """Process pending (un)subscriptions; return the prefixes subscribed to since the last call, in order."""
        new = []
        while (event := self._next_event()) is not None:
            is_subscribe, prefix = event[:1] == b"\x01", event[1:]
            if is_subscribe:
                new.append(prefix)
            self._subscriptions[prefix] += 1 if is_subscribe else -1
            if self._subscriptions[prefix] <= 0:
                del self._subscriptions[prefix]
            # Replaced as a whole, so that other threads can read it without a lock.
            self._prefixes = frozenset(self._subscriptions)
        return new

    def _next_event(self) -> bytes | None:
        """Return the next (un)subscription, or None if none is pending."""
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return None
            if parts[0][:1] in (b"\x00", b"\x01"):  # ignore anything that is not a subscription event
                return parts[0]

    def is_wanted(self, topic: bytes) -> bool:
        """Return whether any subscription matches `topic`. Thread-safe."""
        prefixes = self._prefixes
        return any(topic[:length] in prefixes for length in range(len(topic) + 1))

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send to every subscriber with room in its queue; return False if a queue turned out to be full.

        A subscriber that stays stalled is skipped from then on, until it reads again. The number of False results
        is therefore how often a subscriber fell behind, not how many messages it lost; its own gap count has that.
        """
        if self._is_single:
            parts = [pack_single(parts)]
        try:
            self.socket.send_multipart(parts, zmq.DONTWAIT)
        except zmq.Again:
            # With NODROP, one full queue blocks the message for all subscribers. Deliver it to the others.
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            self.socket.send_multipart(parts, zmq.DONTWAIT)
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
            return False
        return True

    def close(self) -> None:
        """Close the socket; messages in its queue have `LINGER_MS` to leave."""
        self.socket.close()
