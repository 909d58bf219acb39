"""One browser's WebSocket: what it is sent, and what it says."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from streamseg.errors import WireError
from streamseg.publish.control import MAX_REQUEST_BYTES
from streamseg.viewer.allowance import Allowance
from streamseg.viewer.hub import Hub
from streamseg.viewer.window import Window
from streamseg.wire import fields

__all__ = ["CLOSE_SECONDS", "HEARTBEAT_SECONDS", "MAX_READ_BYTES", "Client"]

MAX_READ_BYTES: Final = 2 * MAX_REQUEST_BYTES
"""A message longer than the control channel's is refused; one longer than this is not read, and ends the connection."""
MESSAGES_PER_SECOND: Final = 500.0
"""Acknowledgements of 16 sources at 30 frames per second. Whoever says more is read later, which slows him down."""
MESSAGES_AT_ONCE: Final = 500.0
MESSAGE_BYTES: Final = 1024
"""A longer message counts as several."""
HEARTBEAT_SECONDS: Final = 10.0
"""A browser that was cut off says nothing; one that is there answers pings even while its page sleeps."""
CLOSE_SECONDS: Final = 0.2
"""For the browser's half of closing."""
STALE_NS: Final = 20_000_000
"""A frame that waited so long for the line is replaced by a newer one, if there is one."""


class Client:
    """Sends the newest frames that a browser has room for, and does what it asks.

    Args:
        hub: what there is to see and to do.
        socket: accepted and prepared.
    """

    def __init__(self, hub: Hub, socket: web.WebSocketResponse) -> None:
        self._hub = hub
        self._socket = socket
        self._windows = {source_id: Window() for source_id in hub.slots}
        self._frames: dict[str, tuple[int, bytes, int]] = {}  # (seq, body, offered at) by source
        self._texts: dict[str, str] = {}
        self._woken = asyncio.Event()
        self._allowance = Allowance(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE, time.monotonic())

    def wants(self, source_id: str, seq: int) -> bool:
        """Whether this frame would be sent on at once."""
        window = self._windows.get(source_id)
        return window is not None and source_id not in self._frames and window.wants(seq)

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        """Take a frame that is wanted."""
        self._frames[source_id] = (seq, body, time.monotonic_ns())
        self._woken.set()

    def tell(self, kind: str, text: str) -> None:
        """Send a text soon, in the place of one of the same kind that waits."""
        self._texts[kind] = text
        self._woken.set()

    async def serve(self) -> None:
        """Serve until the browser goes away, or `close`."""
        sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        self._hub.clients.add(self)
        try:
            self.tell("hello", self._hub.hello())
            self.tell("prompts", self._hub.prompts())
            self.tell("status", self._hub.status())
            for source_id in self._windows:
                self._hub.packed[source_id].join(self)
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.clients.discard(self)
            for channel in self._hub.packed.values():
                channel.leave(self)
            for task in (sending, receiving):
                task.cancel()
            for error in await asyncio.gather(sending, receiving, return_exceptions=True):
                # That a browser goes away is no failure; anything else is a mistake of ours, and ends the viewer.
                if error is not None and not isinstance(error, ConnectionError | asyncio.CancelledError):
                    self._hub.fail(error)
                    await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"the server has failed")

    async def close(self) -> None:
        """Tell the browser that the server ends."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends")

    async def _send(self) -> None:
        """One thing after the other; what waits meanwhile is replaced by what is newer."""
        while not self._socket.closed:
            await self._woken.wait()
            self._woken.clear()
            while self._texts:
                await self._socket.send_str(self._texts.pop(next(iter(self._texts))))
            for source_id in tuple(self._frames):
                await self._send_frame(source_id)

    async def _send_frame(self, source_id: str) -> None:
        seq, body, offered_ns = self._frames.pop(source_id)
        window, channel = self._windows.get(source_id), self._hub.packed[source_id]
        now_ns = time.monotonic_ns()
        newest = channel.slot.newest
        is_stale = now_ns - offered_ns > STALE_NS and newest is not None and newest.seq > seq
        if window is not None and not is_stale:
            window.sent(seq, now_ns)
            await self._socket.send_bytes(body)
        channel.wake()

    async def _receive(self) -> None:
        """What the browser says, one after the other, so that answers come in the order of the calls."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                reply = await self._reply(message.data)
            elif message.type is WSMsgType.BINARY:
                reply = _refusal("a message is text, with a JSON object in it; got a binary one")
            else:
                return  # broken off
            amount = 1 + len(message.data) / MESSAGE_BYTES
            if reply is not None:
                await self._socket.send_str(reply)
            if (seconds := self._allowance.take(amount, time.monotonic())) > 0:
                await asyncio.sleep(seconds)

    async def _reply(self, text: str) -> str | None:
        """Do what a message asks; its reply, None where it needs none."""
        try:
            # `surrogatepass`: JSON has its own word about half pairs, in one line like the rest.
            body = text.encode("utf-8", "surrogatepass")
            values = fields.parse_json(body, "message", MAX_REQUEST_BYTES)
            kind = fields.text(values, "type")
            if kind == "ack":
                self._acknowledge(fields.text(values, "source"), fields.integer(values, "seq"))
            elif kind == "view":
                self._view(fields.items(values, "sources", max_items=len(self._hub.slots)))
            elif kind == "call":
                reply = await self._hub.call(body, str(values.get("op")))
                return '{"type":"answer",' + reply.decode("utf-8").removeprefix("{")
            else:
                raise WireError(f"unknown type {kind[:40]!r}; view, ack and call are known")
        except WireError as error:
            return _refusal(str(error))
        return None

    def _acknowledge(self, source_id: str, seq: int) -> None:
        self._check_source(source_id)
        window = self._windows.get(source_id)
        if window is None:
            return  # it was shown before the view changed
        if not window.acknowledged(seq, time.monotonic_ns()):
            raise WireError(f"frame {seq} of {source_id} was never sent; acknowledge what was")
        self._hub.packed[source_id].wake()

    def _view(self, sources: list[Any]) -> None:
        for source_id in sources:
            self._check_source(source_id)
        for source_id in set(self._windows) - set(sources):
            del self._windows[source_id]
            self._frames.pop(source_id, None)
            self._hub.packed[source_id].leave(self)
        for source_id in sources:
            if source_id not in self._windows:
                self._windows[source_id] = Window()
                self._hub.packed[source_id].join(self)

    def _check_source(self, source_id: Any) -> None:
        if not isinstance(source_id, str) or source_id not in self._hub.slots:
            raise WireError(f"there is no source {str(source_id)[:40]!r}; there are {', '.join(self._hub.slots)}")


def _refusal(words: str) -> str:
    return json.dumps({"type": "error", "error": " ".join(words.split())}, ensure_ascii=False)
