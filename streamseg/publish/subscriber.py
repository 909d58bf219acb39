"""Subscribing to messages: always the newest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

import zmq

from streamseg.errors import WireError
from streamseg.publish.endpoints import Context, connect, open_socket
from streamseg.publish.sequence import SequenceTracker
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource
from streamseg.structures.message import Message
from streamseg.wire import Header, Status, decode, decode_status, image_topic, mask_topic, read_header
from streamseg.wire.topics import MASK_TOPICS, PICTURE_TOPICS, STATUS_TOPIC

__all__ = ["Subscriber", "message_age_ms"]

QUEUE_MESSAGES: Final = 32
MAX_PART_BYTES: Final = 64 << 20
MAX_SOURCES: Final = 4096

_LOGGER = logging.getLogger(__name__)


def message_age_ms(message: Message, now_ns: int | None = None) -> float:
    """How old the message's picture is, from taking it to `now_ns` (wall clock; by default, this moment).

    Across machines it is as right as their clocks; `message.clock` tells who said when it was taken.
    """
    return ((time.time_ns() if now_ns is None else now_ns) - message.captured_ns) / 1e6


class Subscriber(Resource):
    """Receives the newest message of each source, however slowly they are taken.

        with Subscriber("tcp://127.0.0.1:5555", timeout_seconds=5) as subscriber:
            for message in subscriber:
                print(message.source_id, message_age_ms(message), len(message.objects))

    A thread empties the socket and keeps each source's newest message, as queues would make it seconds
    old. Masks are decoded in `receive`, so that what is never taken costs next to nothing. Needs numpy
    and pyzmq, nothing else.

    Args:
        endpoint: where the publisher is; it may start later, and come back after it has gone.
        sources: ids of the sources to receive; None: all.
        picture: receive the pictures, too.
        timeout_seconds: how long iteration waits for a message before it ends; None: for ever.
        context: whose socket this is; by default one of its own, which ends with it.

    Raises:
        PublishError: no endpoint.
        WireError: a source id that cannot exist.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        sources: Sequence[str] | None = None,
        picture: bool = False,
        timeout_seconds: float | None = None,
        context: Context | None = None,
    ) -> None:
        prefixes = [PICTURE_TOPICS if picture else MASK_TOPICS]
        if sources is not None:
            prefixes = [(image_topic if picture else mask_topic)(source_id) for source_id in sources]
        self.timeout_seconds = timeout_seconds
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        self._socket = open_socket(
            self._context, zmq.SUB, linger_ms=0, max_message_bytes=MAX_PART_BYTES, queue_messages=QUEUE_MESSAGES
        )
        # The status comes last: once it arrives, the subscriptions before it are known to work.
        for prefix in (*prefixes, STATUS_TOPIC):
            self._socket.subscribe(prefix)
        try:
            connect(self._socket, endpoint)
        except BaseException:
            self._socket.close()
            if self._owns_context:
                self._context.term()
            raise
        self._changed = threading.Condition()
        self._unread: dict[str, tuple[list[bytes], Header]] = {}
        self._sequences = SequenceTracker()
        self._skipped: dict[str, int] = {}
        self._num_malformed = 0
        self._status: Status | None = None
        self._is_closing = False
        self._has_ended = False
        self._wake_up = WakeUp()
        # The socket is the thread's from its start on.
        self._thread = SocketThread("streamseg subscriber", self._serve, self._end)
        self._thread.start()

    def receive(self, timeout_seconds: float | None = None) -> Message | None:
        """The newest message that was not handed out yet; of several sources, the one that waits longest.

        Args:
            timeout_seconds: how long to wait for one; None: for ever; 0: not at all.

        Returns:
            The message; None where none came in time, or the subscriber was closed.

        Raises:
            PublishError: the receiving thread has failed.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            with self._changed:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                self._changed.wait_for(lambda: self._unread or self._is_closing or self._has_ended, left)
                self._thread.check()
                if not self._unread or self._is_closing:
                    return None
                parts, header = self._unread.pop(next(iter(self._unread)))
            try:
                return decode(parts, header)
            except WireError as error:
                self._count_malformed(error)

    def __iter__(self) -> Iterator[Message]:
        """Each the newest, until none comes within `timeout_seconds` or the subscriber is closed."""
        while (message := self.receive(self.timeout_seconds)) is not None:
            yield message

    def wait_connected(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the publisher is known to be there and to know what is wanted; False where it is not.

        What is published before that is lost: ZeroMQ connects in the background.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._status is not None or self._is_closing or self._has_ended, timeout_seconds
            )
            self._thread.check()
            return self._status is not None

    @property
    def status(self) -> Status | None:
        """What the publisher last said about itself, once a second; None before."""
        return self._status

    @property
    def gaps(self) -> dict[str, int]:
        """Messages that were published and never arrived, dropped by the publisher or on the way, by source."""
        with self._changed:
            return dict(self._sequences.gaps)

    @property
    def restarts(self) -> dict[str, int]:
        """How often another run of the publisher took over, by source."""
        with self._changed:
            return dict(self._sequences.restarts)

    @property
    def skipped(self) -> dict[str, int]:
        """Messages that arrived, and were replaced by a newer one before they were taken, by source."""
        with self._changed:
            return dict(self._skipped)

    @property
    def malformed(self) -> int:
        """Messages that arrived and could not be read."""
        return self._num_malformed

    def close(self) -> None:
        """End the thread and the connection; whoever waits in `receive` gets None. May be repeated."""
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
        """What the thread does until the subscriber is closed, or somebody ends the context."""
        poller = zmq.Poller()
        poller.register(self._wake_up.fileno(), zmq.POLLIN)
        poller.register(self._socket, zmq.POLLIN)
        try:
            while not self._is_closing:
                poller.poll()
                self._wake_up.clear()
                while not self._is_closing and self._socket.poll(0):
                    self._take_in(self._socket.recv_multipart())
        except zmq.ContextTerminated:
            return  # the context's owner wants the socket closed
        finally:
            self._socket.close()

    def _take_in(self, parts: list[bytes]) -> None:
        try:
            if parts[0] == STATUS_TOPIC:
                self._take_in_status(decode_status(parts))
            else:
                self._take_in_message(parts, read_header(parts))
        except WireError as error:
            self._count_malformed(error)

    def _take_in_status(self, status: Status) -> None:
        with self._changed:
            self._status = status
            for source_id, seq in status.sources.items():
                self._sequences.was_sent(source_id, status.epoch, seq)
            self._changed.notify_all()

    def _take_in_message(self, parts: list[bytes], header: Header) -> None:
        source_id = header.source_id
        with self._changed:
            if source_id not in self._sequences.gaps and len(self._sequences.gaps) >= MAX_SOURCES:
                raise WireError(f"messages of more than {MAX_SOURCES} sources came; subscribe to some of them")
            if not self._sequences.received(source_id, header.epoch, header.seq):
                return
            if source_id in self._unread:
                self._skipped[source_id] = self._skipped.get(source_id, 0) + 1
            self._unread[source_id] = (parts, header)
            self._changed.notify_all()

    def _count_malformed(self, error: WireError) -> None:
        with self._changed:
            self._num_malformed += 1
        _LOGGER.info("a message could not be read: %s", error)
