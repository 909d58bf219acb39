"""Publish messages without waiting for subscribers."""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import zmq

from streamseg.publish.authentication import Gate
from streamseg.publish.endpoints import Context
from streamseg.publish.jpeg import EncodeImage, encode_jpeg
from streamseg.publish.keys import ServerKeys
from streamseg.publish.outbox import Outbox, Submitted
from streamseg.publish.socket import PublishSocket
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message
from streamseg.structures.source_status import SourceStatus
from streamseg.telemetry import Drops, Histograms, merge_drops
from streamseg.wire import (
    Compression,
    MaskEncoding,
    Status,
    assemble,
    encode_status,
    image_topic,
    mask_buffers,
    mask_topic,
)
from streamseg.wire.message import STATUS_TOPIC

__all__ = ["Publisher"]

STATUS_INTERVAL_SECONDS: Final = 1.0


class Publisher(Resource):
    """Sends messages to all subscribers and never waits for them.

    `publish` puts the message into its source's slot, where a newer one replaces it, and returns. A thread of the
    publisher owns the sockets, encodes and sends. Messages without a subscriber are not encoded.

        seg/1/<source>/     masks                     pic/1/<source>/     masks and image
        status/1/           publisher status, once a second and immediately on subscription

    Args:
        endpoint: address of the multipart messages, e.g. tcp://127.0.0.1:5555; port 0 lets the system choose.
        single_endpoint: address of the same messages in one part each, for readers with CONFLATE. Such readers need
            one socket per source, because CONFLATE keeps one message and only the last of several subscriptions.
        mask_encoding: see `streamseg.wire.masks`.
        compression: compression of the masks.
        jpeg_quality: JPEG quality of the image, 1..100.
        encode_image: encodes the image instead, to share the result with other outputs; `jpeg_quality` has no effect.
        keys: encrypt the sockets with CURVE, and admit only subscribers with an allowed key; None: no encryption.
        allow_public: allow endpoints that other machines can reach without `keys`.
        context: ZeroMQ context of the sockets. By default the publisher creates one and terminates it. In a shared
            context, ZeroMQ releases the addresses some time after `close`, and only one server can have keys.

    Raises:
        PublishError: an endpoint cannot be bound.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        single_endpoint: str | None = None,
        mask_encoding: MaskEncoding = "rle-crop-u32",
        compression: Compression = "none",
        jpeg_quality: int = 80,
        encode_image: EncodeImage | None = None,
        keys: ServerKeys | None = None,
        allow_public: bool = False,
        context: Context | None = None,
    ) -> None:
        self.epoch = secrets.token_hex(8)
        """Identifies this run of the publisher."""
        self._mask_encoding: MaskEncoding = mask_encoding
        self._compression: Compression = compression
        self._encode_image = encode_image or partial(encode_jpeg, quality=jpeg_quality)
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        with contextlib.ExitStack() as undo:
            if self._owns_context:
                undo.callback(self._context.term)
            self._gate = undo.enter_context(Gate(self._context, keys, "read"))
            open_socket = partial(PublishSocket, self._context, gate=self._gate, allow_public=allow_public)
            self._main = open_socket(endpoint, is_single=False)
            undo.callback(self._main.close)
            self._single = None if single_endpoint is None else open_socket(single_endpoint, is_single=True)
            undo.pop_all()
        self._sockets = [socket for socket in (self._main, self._single) if socket is not None]
        self._outbox = Outbox(self.epoch)
        self._source_statuses: Callable[[], Mapping[str, SourceStatus]] = dict
        self._sent: dict[str, int] = {}
        self.ages = Histograms()
        """Age of the frames when their messages had been handed to ZeroMQ, named `publish`; messages without a
        subscriber do not count."""
        self._closing = threading.Lock()
        """Held from `close` on."""
        self._wake_up = WakeUp()
        # From its start, the thread owns the sockets.
        self._thread = SocketThread("streamseg publisher", self._serve, self._outbox.close)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Actual address of the multipart messages."""
        return self._main.endpoint

    @property
    def single_endpoint(self) -> str | None:
        """Actual address of the single-part messages; None if they are off."""
        return None if self._single is None else self._single.endpoint

    def publish(self, message: Message, image: ImageArray | None = None, *, wait_seconds: float = 0.0) -> int:
        """Submit a message; takes well below a millisecond. Thread-safe.

        Args:
            message: `epoch` and `seq` are set here, and the publisher's own drops are added to its `drops` as
                {"publish": {"newer_frame": …, "slow_subscriber": …}}.
            image: uint8 (H, W, 3) RGB, encoded as JPEG if it has a subscriber; must not be modified afterwards.
                Without an image, its subscribers receive the message without one.
            wait_seconds: how long to wait until the source's previous message has been sent. 0, for live sources,
                replaces it instead; for files, which must not drop frames, give a limit.

        Returns:
            Sequence number of the message within its source and epoch. A dropped message leaves a gap.

        Raises:
            PublishError: the publisher is closed, or its thread has failed.
            WireError: the source id cannot be part of a topic.
        """
        mask_topic(message.source_id)
        seq = self._outbox.put(message, image, wait_seconds=wait_seconds, check=self._thread.check)
        self._wake_up.set()
        return seq

    def report_sources(self, statuses: Callable[[], Mapping[str, SourceStatus]]) -> None:
        """Include the states of the sources in the status from now on.

        Args:
            statuses: returns the status by source id; called in the publisher's thread, once a second.
        """
        self._source_statuses = statuses

    def wants_masks(self, source_id: str) -> bool:
        """Return whether the source's messages have a subscriber, with or without the image."""
        return self._is_wanted(mask_topic(source_id)) or self.wants_image(source_id)

    def wants_image(self, source_id: str) -> bool:
        """Return whether the source's images have a subscriber."""
        return self._is_wanted(image_topic(source_id))

    def drops(self, source_id: str) -> Drops:
        """Return the publisher's own drops of a source so far."""
        return self._outbox.drops(source_id)

    def close(self) -> None:
        """Send all submitted messages and release the sockets, within a quarter of a second. Idempotent.

        Raises:
            PublishError: the publisher's thread has failed.
        """
        if not self._closing.acquire(blocking=False):
            return
        self._outbox.close()
        self._wake_up.set()
        self._thread.join()
        self._wake_up.close()
        self._gate.close()
        if self._owns_context:
            self._context.term()
        self._thread.check()

    def _is_wanted(self, topic: bytes) -> bool:
        return any(socket.is_wanted(topic) for socket in self._sockets)

    def _serve(self) -> None:
        """Run in the thread until the publisher is closed or the context is terminated."""
        poller = zmq.Poller()
        poller.register(self._wake_up.fileno(), zmq.POLLIN)
        for socket in self._sockets:
            poller.register(socket.socket, zmq.POLLIN)
        next_status = time.monotonic()
        try:
            while True:
                is_busy = self._outbox or self._outbox.is_closed
                wait_seconds = 0.0 if is_busy else max(next_status - time.monotonic(), 0.0)
                poller.poll(math.ceil(wait_seconds * 1000))
                self._wake_up.clear()
                # Read before the slots, so that messages submitted before closing are sent.
                is_closing = self._outbox.is_closed
                new_prefixes = [prefix for socket in self._sockets for prefix in socket.read_subscriptions()]
                if (pending := self._outbox.take()) is not None:
                    self._send(pending)
                elif is_closing:
                    return
                is_due = time.monotonic() >= next_status
                if is_due or any(STATUS_TOPIC.startswith(prefix) for prefix in new_prefixes):
                    self._send_status()
                if is_due:
                    next_status = time.monotonic() + STATUS_INTERVAL_SECONDS
        except zmq.ContextTerminated:
            return  # the owner of the context wants the sockets closed
        finally:
            for socket in self._sockets:
                socket.close()

    def _send(self, submitted: Submitted) -> None:
        message, image = submitted.message, submitted.image
        source_id = message.source_id
        topics = [topic for topic in (mask_topic(source_id), image_topic(source_id)) if self._is_wanted(topic)]
        if topics:
            message = replace(message, drops=merge_drops([message.drops, self.drops(source_id)]))
            buffers = mask_buffers(message, self._mask_encoding, self._compression)
        for topic in topics:
            is_image = topic == image_topic(source_id)
            if is_image and message.jpeg is None and image is not None:
                message = replace(message, jpeg=self._encode_image(image))
            # Replace the topic, because a message without an image may also be sent on the image topic.
            parts = [topic, *assemble(message, buffers, include_jpeg=is_image)[1:]]
            for socket in self._sockets:
                if socket.is_wanted(topic) and not socket.send(parts):
                    self._outbox.count_drop(source_id, "slow_subscriber")
        self._sent[source_id] = message.seq
        if topics:
            waited_ms = (time.monotonic_ns() - submitted.submitted_ns) / 1e6
            self.ages.add("publish", source_id, message.age_ms + waited_ms)

    def _send_status(self) -> None:
        parts = encode_status(Status(self.epoch, time.time_ns(), dict(self._sent), dict(self._source_statuses())))
        for socket in self._sockets:
            socket.send(parts)
