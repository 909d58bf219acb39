"""The WebSocket connection of one browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from streamseg.errors import DataError, WireError
from streamseg.publish.control import MAX_REQUEST_BYTES, handle_request
from streamseg.viewer.access import Role
from streamseg.viewer.flow_control import FlowControl, TokenBucket
from streamseg.viewer.hub import Hub
from streamseg.wire import json_fields

__all__ = ["CLOSE_SECONDS", "HEARTBEAT_SECONDS", "MAX_READ_BYTES", "Client"]

MAX_READ_BYTES: Final = 2 * MAX_REQUEST_BYTES
"""Maximum message size that is read; a longer one ends the connection. One longer than the control channel's limit is
rejected."""
MESSAGES_PER_SECOND: Final = 500.0
"""Enough for the acknowledgements of 16 sources at 30 frames per second. A client that sends more is read later, which
slows it down."""
MESSAGES_AT_ONCE: Final = 500.0
MESSAGE_BYTES: Final = 1024
"""A message longer than this counts as several."""
HEARTBEAT_SECONDS: Final = 10.0
"""Interval of pings: a disconnected browser does not answer, while a connected one answers even if its page sleeps."""
CLOSE_SECONDS: Final = 0.2
"""Time for the browser's half of the closing handshake."""
STALE_NS: Final = 20_000_000
"""A frame that waited longer than this to be sent is replaced by a newer one, if there is one."""


class Client:
    """Sends a browser the newest frames that it has room for, and handles its messages.

    Args:
        hub: sources and operations.
        socket: an accepted and prepared WebSocket.
        role: `read`: reject operations that change anything.
    """

    def __init__(self, hub: Hub, socket: web.WebSocketResponse, role: Role) -> None:
        self._hub = hub
        self._socket = socket
        self._role: Role = role
        self._flows = {source_id: FlowControl() for source_id in hub.slots}
        self._frames: dict[str, tuple[int, bytes, int]] = {}  # (seq, body, time offered) by source
        self._texts: dict[str, str] = {}
        self._woken = asyncio.Event()
        self._bucket = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE, time.monotonic())

    def wants(self, source_id: str, seq: int) -> bool:
        """Return whether this frame would be sent at once."""
        flow = self._flows.get(source_id)
        return flow is not None and source_id not in self._frames and flow.wants(seq)

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        """Accept a wanted frame."""
        self._frames[source_id] = (seq, body, time.monotonic_ns())
        self._woken.set()

    def end(self) -> None:
        """Nothing follows on a channel of a removed source; `forget` has handled it."""

    def forget(self, source_id: str) -> None:
        """Send no more frames of a source that was removed."""
        self._flows.pop(source_id, None)
        self._frames.pop(source_id, None)
        self._hub.packed[source_id].leave(self)

    def notify(self, kind: str, text: str) -> None:
        """Send a text soon, in place of a waiting one of the same kind."""
        self._texts[kind] = text
        self._woken.set()

    async def serve(self) -> None:
        """Serve until the browser disconnects or `close` is called."""
        sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        self._hub.listeners.add(self)
        try:
            self.notify("hello", self._hub.hello_text())
            self.notify("prompts", self._hub.prompts_text())
            self.notify("status", self._hub.status_text())
            self.notify("role", json.dumps({"type": "role", "role": self._role}))
            for source_id in self._flows:
                self._hub.packed[source_id].join(self)
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.listeners.discard(self)
            for channel in self._hub.packed.values():
                channel.leave(self)
            for task in (sending, receiving):
                task.cancel()
            for error in await asyncio.gather(sending, receiving, return_exceptions=True):
                # A disconnecting browser is not a failure; any other error is a bug and ends the viewer.
                if error is not None and not isinstance(error, ConnectionError | asyncio.CancelledError):
                    self._hub.fail(error)
                    await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"the server has failed")

    async def close(self) -> None:
        """Send the last status, with the sources that have ended, and notify the browser that the server stops."""
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(self._hub.status_text())
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops")

    async def _send(self) -> None:
        """Send one item after another; a waiting item is replaced by a newer one."""
        while not self._socket.closed:
            await self._woken.wait()
            self._woken.clear()
            while self._texts:
                await self._socket.send_str(self._texts.pop(next(iter(self._texts))))
            for source_id in tuple(self._frames):
                if source_id in self._frames:  # it may be removed while another one's frame is sent
                    await self._send_frame(source_id)

    async def _send_frame(self, source_id: str) -> None:
        seq, body, offered_ns = self._frames.pop(source_id)
        flow, channel = self._flows.get(source_id), self._hub.packed[source_id]
        now_ns = time.monotonic_ns()
        newest = channel.slot.newest
        is_stale = now_ns - offered_ns > STALE_NS and newest is not None and newest.seq > seq
        if flow is not None and not is_stale:
            flow.record_sent(seq, now_ns)
            await self._socket.send_bytes(body)
        channel.wake()

    async def _receive(self) -> None:
        """Handle the browser's messages one after another, so that replies are in the order of the calls."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                reply = await self._reply(message.data)
            elif message.type is WSMsgType.BINARY:
                reply = _error_text("a message must be text that holds a JSON object, got a binary one")
            else:
                return  # disconnected
            amount = 1 + len(message.data) / MESSAGE_BYTES
            if reply is not None:
                await self._socket.send_str(reply)
            if (seconds := self._bucket.take(amount, time.monotonic())) > 0:
                await asyncio.sleep(seconds)

    async def _reply(self, text: str) -> str | None:
        """Handle a message and return its reply; None if it needs none."""
        try:
            # `surrogatepass`, because the JSON parser rejects lone surrogates with a one-line error like the others.
            body = text.encode("utf-8", "surrogatepass")
            values = json_fields.parse_json(body, "message", MAX_REQUEST_BYTES)
            kind = json_fields.text(values, "type")
            if kind == "ack":
                self._acknowledge(json_fields.text(values, "source"), json_fields.integer(values, "seq"))
            elif kind == "view":
                num_known = len(self._hub.slots) + len(self._hub.removed)
                self._view(json_fields.items(values, "sources", max_items=num_known))
            elif kind == "call":
                op = str(values.get("op"))
                refusing = {op: _refuse} if self._role == "read" and not may_read(op) else None
                reply = handle_request(refusing, body) if refusing else await self._hub.call(body, op)
                return '{"type":"answer",' + reply.decode("utf-8").removeprefix("{")
            else:
                raise WireError(f"unknown type {kind[:40]!r}; valid types are view, ack and call")
        except WireError as error:
            return _error_text(str(error))
        return None

    def _acknowledge(self, source_id: str, seq: int) -> None:
        flow = self._flows.get(source_id) if self._is_present(source_id) else None
        if flow is None:
            return  # it was displayed before the view changed, or the source was removed
        if not flow.acknowledge(seq, time.monotonic_ns()):
            raise WireError(f"frame {seq} of {source_id} was never sent; acknowledge only frames that were")
        self._hub.packed[source_id].wake()

    def _view(self, sources: list[Any]) -> None:
        sources = [source_id for source_id in sources if self._is_present(source_id)]
        for source_id in set(self._flows) - set(sources):
            del self._flows[source_id]
            self._frames.pop(source_id, None)
            self._hub.packed[source_id].leave(self)
        for source_id in sources:
            if source_id not in self._flows:
                self._flows[source_id] = FlowControl()
                self._hub.packed[source_id].join(self)

    def _is_present(self, source_id: Any) -> bool:
        """Return False for a source that was removed; raise WireError for an unknown one."""
        if isinstance(source_id, str) and source_id in self._hub.slots:
            return True
        if not isinstance(source_id, str) or source_id not in self._hub.removed:
            raise WireError(f"unknown source {str(source_id)[:40]!r}; sources are {', '.join(self._hub.slots)}")
        return False


def may_read(op: str) -> bool:
    """Return whether the role `read` may call an operation: those that only report."""
    return op == "status" or op.endswith((".list", ".types"))


def _refuse(args: dict[str, Any]) -> Any:
    raise DataError("this address is for watching only; open the page's own address to change anything")


def _error_text(words: str) -> str:
    return json.dumps({"type": "error", "error": " ".join(words.split())}, ensure_ascii=False)
