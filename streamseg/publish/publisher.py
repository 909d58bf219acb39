"""Publishing messages: hand one in and go on."""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import time
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import zmq

from streamseg.errors import PublishError
from streamseg.publish.endpoints import Context
from streamseg.publish.picture import encode_jpeg
from streamseg.publish.socket import Outlet
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource
from streamseg.structures.message import Message
from streamseg.telemetry import DropCounter, Drops, merge_drops
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
from streamseg.wire.topics import STATUS_TOPIC

__all__ = ["Publisher"]

STATUS_INTERVAL_SECONDS: Final = 1.0

Picture = npt.NDArray[np.uint8]


class Publisher(Resource):
    """Sends messages to whoever subscribed, and never waits for them.

    `publish` puts the message into its source's slot, where a newer one replaces it, and returns; a
    thread of the publisher owns the sockets, encodes and sends. What nobody subscribed to is not encoded.

        seg/1/<source>/     masks                     pic/1/<source>/     masks and the picture
        status/1/           the publisher itself, each second, and at once for whoever subscribes to it

    Args:
        endpoint: where multipart messages go, e.g. tcp://127.0.0.1:5555; port 0 lets the system choose.
        single_endpoint: where the same go in one part each, for readers with CONFLATE. They need a socket
            per source: it keeps one message, and also only the last of several subscriptions.
        mask_encoding: see `streamseg.wire.masks`.
        compression: of the masks.
        jpeg_quality: 1..100, of the picture.
        allow_public: allow endpoints that other machines can reach.
        context: whose sockets these are; by default one of its own, which ends with it. In somebody else's,
            ZeroMQ frees the addresses some time after `close`.

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
        allow_public: bool = False,
        context: Context | None = None,
    ) -> None:
        self.epoch = secrets.token_hex(8)
        """Identifies this run."""
        self._mask_encoding: MaskEncoding = mask_encoding
        self._compression: Compression = compression
        self._jpeg_quality = jpeg_quality
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        with contextlib.ExitStack() as undo:
            if self._owns_context:
                undo.callback(self._context.term)
            self._main = Outlet(self._context, endpoint, is_single=False, allow_public=allow_public)
            undo.callback(self._main.close)
            self._single = (
                None
                if single_endpoint is None
                else Outlet(self._context, single_endpoint, is_single=True, allow_public=allow_public)
            )
            undo.pop_all()
        self._outlets = [outlet for outlet in (self._main, self._single) if outlet is not None]
        self._changed = threading.Condition()
        self._pending: dict[str, tuple[Message, Picture | None]] = {}
        self._seqs: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._drops: dict[str, DropCounter] = {}
        self._is_closing = False
        self._has_ended = False
        self._wake_up = WakeUp()
        # The sockets are the thread's from its start on.
        self._thread = SocketThread("streamseg publisher", self._serve, self._end)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """The real address of the multipart messages."""
        return self._main.endpoint

    @property
    def single_endpoint(self) -> str | None:
        """The real address of the single-part messages; None where there are none."""
        return None if self._single is None else self._single.endpoint

    def publish(self, message: Message, image: Picture | None = None, *, wait_seconds: float = 0.0) -> int:
        """Hand in a message; takes well below a millisecond. May be called from any thread.

        Args:
            message: what to send; `epoch` and `seq` are set here, and the publisher's own drops are
                added to its `drops` as {"publish": {"newer_frame": …, "slow_subscriber": …}}.
            image: uint8 (H, W, 3) RGB, becomes the JPEG where somebody subscribed to it; nobody may
                write into it any more. Without one, they get the message without a picture.
            wait_seconds: how long to wait for the source's previous message to be taken up. 0, for live
                sources, replaces it instead; for files, where nothing is to be dropped, give a bound.

        Returns:
            The message's sequence number within its source and epoch. A dropped one leaves a gap.

        Raises:
            PublishError: the publisher is closed, or its thread has failed.
            WireError: the source id cannot be part of a topic.
        """
        source_id = message.source_id
        mask_topic(source_id)
        with self._changed:
            self._changed.wait_for(
                lambda: source_id not in self._pending or self._is_closing or self._has_ended, wait_seconds
            )
            self._thread.check()
            if self._is_closing or self._has_ended:
                raise PublishError("the publisher is closed; nothing can be published any more")
            seq = self._seqs[source_id] = self._seqs.get(source_id, -1) + 1
            if source_id in self._pending:
                self._count_drop(source_id, "newer_frame")
            self._pending[source_id] = (replace(message, epoch=self.epoch, seq=seq), image)
        self._wake_up.set()
        return seq

    def wants_masks(self, source_id: str) -> bool:
        """Whether anybody subscribed to the source's messages, with or without the picture."""
        return self._is_wanted(mask_topic(source_id)) or self.wants_image(source_id)

    def wants_image(self, source_id: str) -> bool:
        """Whether anybody subscribed to the source's pictures."""
        return self._is_wanted(image_topic(source_id))

    def drops(self, source_id: str) -> Drops:
        """The publisher's own drops of a source so far."""
        with self._changed:
            return self._drops[source_id].snapshot() if source_id in self._drops else {}

    def close(self) -> None:
        """Send what was handed in, and let go of the sockets; takes at most a quarter of a second. May be repeated.

        Raises:
            PublishError: the publisher's thread has failed.
        """
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
        self._thread.check()

    def _is_wanted(self, topic: bytes) -> bool:
        return any(outlet.is_wanted(topic) for outlet in self._outlets)

    def _count_drop(self, source_id: str, reason: str) -> None:
        """Called with the lock held."""
        self._drops.setdefault(source_id, DropCounter()).count("publish", reason)

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _serve(self) -> None:
        """What the thread does until the publisher is closed, or somebody ends the context."""
        poller = zmq.Poller()
        poller.register(self._wake_up.fileno(), zmq.POLLIN)
        for outlet in self._outlets:
            poller.register(outlet.socket, zmq.POLLIN)
        next_status = time.monotonic()
        try:
            while True:
                is_busy = self._pending or self._is_closing
                wait_seconds = 0.0 if is_busy else max(next_status - time.monotonic(), 0.0)
                poller.poll(math.ceil(wait_seconds * 1000))
                self._wake_up.clear()
                # Looked at before the slots are, so that what was handed in before closing is sent.
                is_closing = self._is_closing
                newcomers = [prefix for outlet in self._outlets for prefix in outlet.read_subscriptions()]
                if (taken := self._take()) is not None:
                    self._send(*taken)
                elif is_closing:
                    return
                is_due = time.monotonic() >= next_status
                if is_due or any(STATUS_TOPIC.startswith(prefix) for prefix in newcomers):
                    self._send_status()
                if is_due:
                    next_status = time.monotonic() + STATUS_INTERVAL_SECONDS
        except zmq.ContextTerminated:
            return  # the context's owner wants the sockets closed
        finally:
            for outlet in self._outlets:
                outlet.close()

    def _take(self) -> tuple[Message, Picture | None] | None:
        """The message that waits longest, its source's newest; None for now."""
        with self._changed:
            if not self._pending:
                return None
            source_id = next(iter(self._pending))
            taken = self._pending.pop(source_id)
            self._changed.notify_all()
            return taken

    def _send(self, message: Message, image: Picture | None) -> None:
        source_id = message.source_id
        topics = [topic for topic in (mask_topic(source_id), image_topic(source_id)) if self._is_wanted(topic)]
        if topics:
            message = replace(message, drops=merge_drops([message.drops, self.drops(source_id)]))
            buffers = mask_buffers(message, self._mask_encoding, self._compression)
        for topic in topics:
            is_image = topic == image_topic(source_id)
            if is_image and message.jpeg is None and image is not None:
                message = replace(message, jpeg=encode_jpeg(image, self._jpeg_quality))
            # The topic is given, as without an image there is no picture in the message that goes there.
            parts = [topic, *assemble(message, buffers, include_jpeg=is_image)[1:]]
            for outlet in self._outlets:
                if outlet.is_wanted(topic) and not outlet.send(parts):
                    with self._changed:
                        self._count_drop(source_id, "slow_subscriber")
        self._sent[source_id] = message.seq

    def _send_status(self) -> None:
        parts = encode_status(Status(self.epoch, time.time_ns(), dict(self._sent)))
        for outlet in self._outlets:
            outlet.send(parts)
