"""Receive the newest message of each source, no matter how slowly it is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

import zmq

from streamseg.errors import WireError
from streamseg.publish.authentication import authenticate_client
from streamseg.publish.endpoints import Context, connect, open_socket
from streamseg.publish.handshakes import Handshakes
from streamseg.publish.inbox import Inbox
from streamseg.publish.keys import ClientKeys
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource
from streamseg.structures.message import Message
from streamseg.wire import Status, decode, image_topic, mask_topic
from streamseg.wire.message import IMAGE_TOPICS, MASK_TOPICS, STATUS_TOPIC

__all__ = ["Subscriber", "message_age_ms"]

QUEUE_MESSAGES: Final = 32
MAX_PART_BYTES: Final = 64 << 20
CATCH_UP_SECONDS: Final = 0.5
"""Maximum time that `receive` waits for newer messages which have arrived already."""
MAX_MESSAGES_AT_ONCE: Final = 256
"""Messages that are taken from the socket before waiting callers are served, if it never runs empty."""


def message_age_ms(message: Message, now_ns: int | None = None) -> float:
    """Return the age of the message's frame, from capture to `now_ns` (wall clock; the present time by default).

    Between machines it is as accurate as their clocks are synchronised; `message.clock` names the clock of the
    capture time.
    """
    return ((time.time_ns() if now_ns is None else now_ns) - message.captured_ns) / 1e6


class Subscriber(Resource):
    """Receives the newest message of each source, no matter how slowly the caller reads.

        with Subscriber("tcp://127.0.0.1:5555", timeout_seconds=5) as subscriber:
            for message in subscriber:
                print(message.source_id, message_age_ms(message), len(message.objects))

    A thread drains the socket and keeps the newest message per source, because messages in queues would be seconds
    old; images are no exception. `receive` first lets the thread take everything that has arrived: while the caller
    holds the interpreter's lock, as some extensions do, or while the process is stopped, the thread does not run.
    Masks are decoded in `receive`, so that messages never read cost next to nothing. Requires only NumPy and pyzmq.

    Args:
        endpoint: address of the publisher, which may start later and may restart.
        sources: ids of the sources to receive; None: all.
        images: receive the images, too.
        timeout_seconds: how long iteration waits for a message before it ends; None: forever.
        keys: the subscriber's keys if the publisher has keys, see `ClientKeys.load`; None: no encryption.
        context: ZeroMQ context of the socket. By default the subscriber creates one and terminates it.

    Raises:
        PublishError: the endpoint is invalid.
        WireError: a source id is invalid.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        sources: Sequence[str] | None = None,
        images: bool = False,
        timeout_seconds: float | None = None,
        keys: ClientKeys | None = None,
        context: Context | None = None,
    ) -> None:
        prefixes = [IMAGE_TOPICS if images else MASK_TOPICS]
        if sources is not None:
            prefixes = [(image_topic if images else mask_topic)(source_id) for source_id in sources]
        self.timeout_seconds = timeout_seconds
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        self._socket = open_socket(
            self._context, zmq.SUB, linger_ms=0, max_message_bytes=MAX_PART_BYTES, queue_messages=QUEUE_MESSAGES
        )
        authenticate_client(self._socket, keys)
        self._handshakes = Handshakes(self._socket, endpoint, has_keys=keys is not None)
        # Subscribe to the status last: once it arrives, the earlier subscriptions are known to be in force.
        for prefix in (*prefixes, STATUS_TOPIC):
            self._socket.subscribe(prefix)
        try:
            connect(self._socket, endpoint)
        except BaseException:
            self._handshakes.close()
            self._socket.close()
            if self._owns_context:
                self._context.term()
            raise
        self._changed = threading.Condition()
        self._inbox = Inbox()
        self._num_asked = self._num_caught_up = 0
        """Number of times that `receive` has let the thread drain the socket, and of those that are done."""
        self._is_closing = False
        self._has_ended = False
        self._wake_up = WakeUp()
        # From its start, the thread owns the socket.
        self._thread = SocketThread("streamseg subscriber", self._serve, self._end)
        self._thread.start()

    def receive(self, timeout_seconds: float | None = None) -> Message | None:
        """Return the newest unread message; with several sources, the one that has waited longest.

        Args:
            timeout_seconds: how long to wait for a message; None: forever; 0: do not wait.

        Returns:
            The message; None on timeout or if the subscriber was closed.

        Raises:
            PublishError: the receiving thread has failed.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            with self._changed:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                self._catch_up()
                self._changed.wait_for(lambda: self._inbox or self._is_closing or self._has_ended, left)
                self._thread.check()
                if not self._inbox or self._is_closing:
                    return None
                parts, header = self._inbox.pop()
            try:
                return decode(parts, header)
            except WireError as error:
                with self._changed:
                    self._inbox.count_malformed(error)

    def __iter__(self) -> Iterator[Message]:
        """Iterate over newest messages until none arrives within `timeout_seconds` or the subscriber is closed."""
        while (message := self.receive(self.timeout_seconds)) is not None:
            yield message

    def wait_connected(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the publisher is connected and has processed the subscriptions; return False otherwise.

        Messages published before that are lost, because ZeroMQ connects in the background.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._inbox.status is not None or self._is_closing or self._has_ended, timeout_seconds
            )
            self._thread.check()
            return self._inbox.status is not None

    @property
    def status(self) -> Status | None:
        """Last status of the publisher, updated once a second; None before the first."""
        return self._inbox.status

    @property
    def refusal(self) -> str | None:
        """Why the publisher refused the last connection, in words; None if it has not. It is tried again."""
        return self._handshakes.refusal

    @property
    def gaps(self) -> dict[str, int]:
        """Number of messages published but not received, dropped by the publisher or in transit, by source."""
        with self._changed:
            return dict(self._inbox.sequences.gaps)

    @property
    def restarts(self) -> dict[str, int]:
        """Number of publisher restarts, by source."""
        with self._changed:
            return dict(self._inbox.sequences.restarts)

    @property
    def skipped(self) -> dict[str, int]:
        """Number of messages received but replaced by a newer one before they were read, by source."""
        with self._changed:
            return dict(self._inbox.skipped)

    @property
    def malformed(self) -> int:
        """Number of messages received that could not be decoded."""
        return self._inbox.num_malformed

    def close(self) -> None:
        """Stop the thread and disconnect; a pending `receive` returns None. Idempotent."""
        with self._changed:
            was_closing, self._is_closing = self._is_closing, True
            self._changed.notify_all()
        if was_closing:
            return
        self._wake_up.set()
        self._thread.join()
        self._wake_up.close()
        if self._owns_context:
            self._context.term()

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _serve(self) -> None:
        """Run in the thread until the subscriber is closed or the context is terminated."""
        poller = zmq.Poller()
        poller.register(self._wake_up.fileno(), zmq.POLLIN)
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._handshakes.monitor, zmq.POLLIN)
        try:
            while not self._is_closing:
                poller.poll(self._handshakes.wait_ms)
                self._wake_up.clear()
                num_asked = self._num_asked
                self._handshakes.update()
                self._drain()
                with self._changed:
                    self._num_caught_up = num_asked
                    # Only now, because a caller that waits must not receive the first of several messages.
                    self._changed.notify_all()
        except zmq.ContextTerminated:
            return  # the owner of the context wants the socket closed
        finally:
            self._handshakes.close()
            self._socket.close()

    def _catch_up(self) -> None:
        """Let the thread take all messages that have arrived, so that the unread one is the newest.

        The caller holds the lock. Without an unread message the thread is waiting for one, or about to deliver it.
        """
        if not self._inbox or self._is_closing or self._has_ended:
            return
        self._num_asked += 1
        number = self._num_asked
        self._wake_up.set()
        self._changed.wait_for(
            lambda: self._num_caught_up >= number or self._is_closing or self._has_ended, CATCH_UP_SECONDS
        )

    def _drain(self) -> None:
        """Handle the messages that have arrived."""
        for _ in range(MAX_MESSAGES_AT_ONCE):
            if self._is_closing or not self._socket.poll(0):
                return
            parts = self._socket.recv_multipart()
            with self._changed:
                self._inbox.put(parts)
