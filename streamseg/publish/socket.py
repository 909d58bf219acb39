"""One publishing socket: who subscribed to what, and sending that never waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import zmq

from streamseg.publish.endpoints import Context, bind, open_socket
from streamseg.wire.single import pack_single

__all__ = ["Outlet"]

QUEUE_MESSAGES: Final = 32
"""Per subscriber. Enough for a batch of many sources at once; bounds what a stalled subscriber costs."""
LINGER_MS: Final = 250
"""Lets the last messages of a file leave; a stalled subscriber holds up the end no longer than this."""
MAX_SUBSCRIPTION_BYTES: Final = 4096


class Outlet:
    """An XPUB socket. All methods but `is_wanted` belong to one thread.

    Args:
        context: makes the socket.
        endpoint: where to bind.
        is_single: send each message as one part (`pack_single`), for readers with CONFLATE.
        allow_public: allow an endpoint that other machines can reach.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(self, context: Context, endpoint: str, *, is_single: bool, allow_public: bool) -> None:
        self.socket = open_socket(
            context,
            zmq.XPUB,
            linger_ms=LINGER_MS,
            max_message_bytes=MAX_SUBSCRIPTION_BYTES,
            queue_messages=QUEUE_MESSAGES,
        )
        # Every subscription is reported, not just the first of its kind: each newcomer is to be greeted.
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.endpoint = bind(self.socket, endpoint, allow_public=allow_public)
        """The real address."""
        self._is_single = is_single
        self._subscriptions: Counter[bytes] = Counter()
        self._prefixes: frozenset[bytes] = frozenset()

    def read_subscriptions(self) -> list[bytes]:
        """Take note of who came and went; the prefixes subscribed to since the last call, in order."""
        new = []
        while (event := self._next_event()) is not None:
            is_subscribe, prefix = event[:1] == b"\x01", event[1:]
            if is_subscribe:
                new.append(prefix)
            self._subscriptions[prefix] += 1 if is_subscribe else -1
            if self._subscriptions[prefix] <= 0:
                del self._subscriptions[prefix]
            # Replaced as a whole, so that other threads can look at it without a lock.
            self._prefixes = frozenset(self._subscriptions)
        return new

    def _next_event(self) -> bytes | None:
        """The next subscription or its end; None for now."""
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return None
            if parts[0][:1] in (b"\x00", b"\x01"):  # anything else is talk of a peer that may not talk
                return parts[0]

    def is_wanted(self, topic: bytes) -> bool:
        """Whether anybody subscribed to a prefix of `topic`; may be called from any thread."""
        prefixes = self._prefixes
        return any(topic[:length] in prefixes for length in range(len(topic) + 1))

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send to whoever wants it and has room; False where a subscriber's queue turned out to be full.

        A subscriber that stays stalled is left out from then on, until it reads again, so that the
        answer tells how often one fell behind, not how much it lost: its own gaps tell that.
        """
        if self._is_single:
            parts = [pack_single(parts)]
        try:
            self.socket.send_multipart(parts, zmq.DONTWAIT)
        except zmq.Again:
            # With NODROP one full queue stops the message for everybody. The others shall have it.
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            self.socket.send_multipart(parts, zmq.DONTWAIT)
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
            return False
        return True

    def close(self) -> None:
        """Close the socket; what is on its way has `LINGER_MS` left."""
        self.socket.close()
