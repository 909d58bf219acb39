"""A server of the page's protocol that is controlled by a test, and frames to send."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from aiohttp import WSMsgType, web

from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject, PromptStatus
from streamseg.synthetic import SceneRenderer
from streamseg.viewer.server import HEADERS, PAGE_FOLDER
from streamseg.wire import encode, pack_single

WAIT_SECONDS = 60.0


class Rejection(Exception):
    """Raised to reject a call."""


def accept_all(op: str, args: dict[str, Any]) -> Any:
    """Accept every call without effect."""
    return {}


class PageServer:
    """Serves the page, records every text message of browsers, and sends messages for a test.

    Args:
        sources: source ids.
        handle: returns the result of a call, or raises Rejection.
    """

    def __init__(self, sources: Sequence[str] = ("cam0",), handle: Callable[[str, dict[str, Any]], Any] = accept_all):
        self.sources = tuple(sources)
        self.handle = handle
        self.received: list[dict[str, Any]] = []
        self.acked: list[list[int]] = []
        """Sequence numbers acknowledged by each browser, in order of connection."""
        self.accepts_connections = True
        self.greeting: tuple[Message, ...] = ()
        """Frames sent to a browser before its first message."""
        self._changed = threading.Condition()
        self._sockets: list[web.WebSocketResponse] = []
        self._loop = asyncio.new_event_loop()
        self._port = 0
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_ready.wait(WAIT_SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/?token=abc"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def send(self, message: Message | dict[str, Any]) -> None:
        """Send a frame or a JSON message to every browser."""
        body = pack_single(encode(message)) if isinstance(message, Message) else json.dumps(message)
        asyncio.run_coroutine_threadsafe(self._send(body), self._loop).result(WAIT_SECONDS)

    def hang_up(self) -> None:
        """Close every connection."""

        async def close() -> None:
            for socket in tuple(self._sockets):
                await socket.close()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(WAIT_SECONDS)

    def wait_for(self, matches: Callable[[dict[str, Any]], bool], num: int = 1) -> list[dict[str, Any]]:
        """Wait for at least `num` matching messages and return them."""

        def found() -> list[dict[str, Any]]:
            return [message for message in self.received if matches(message)]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= num, WAIT_SECONDS), f"received {self.received}"
            return found()

    def calls(self, op: str, num: int = 1) -> list[dict[str, Any]]:
        """Wait for at least `num` calls of an operation and return their arguments."""
        return [m["args"] for m in self.wait_for(lambda m: m["type"] == "call" and m["op"] == op, num)]

    def acks(self, num: int = 1) -> list[int]:
        return [message["seq"] for message in self.wait_for(lambda m: m["type"] == "ack", num)]

    def wait_for_acks(self, seq: int, browsers: Sequence[int]) -> None:
        """Wait until each of these browsers has acknowledged a frame or a later one."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: all(max(self.acked[browser], default=-1) >= seq for browser in browsers), WAIT_SECONDS
            ), f"frame {seq} was not acknowledged by all of {browsers}: {self.acked}"

    def clear_acks(self) -> None:
        """Discard all acknowledgements received so far."""
        with self._changed:
            self.received = [message for message in self.received if message["type"] != "ack"]
            for acked in self.acked:
                acked.clear()

    @property
    def num_connections(self) -> int:
        return len(self.acked)

    async def _send(self, body: bytes | str) -> None:
        for socket in tuple(self._sockets):
            await (socket.send_bytes(body) if isinstance(body, bytes) else socket.send_str(body))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.on_response_prepare.append(_add_policy)
        app.router.add_get("/", _index)
        app.router.add_static("/static", PAGE_FOLDER)
        app.router.add_get("/ws", self._connect)
        runner = web.AppRunner(app, shutdown_timeout=0.1)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._port = runner.addresses[0][1]
            self._is_ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if not self.accepts_connections:
            raise web.HTTPForbidden
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sources = [{"id": source} for source in self.sources]
        await socket.send_json({"type": "hello", "version": 1, "sources": sources, "epoch": "e"})
        await socket.send_json({"type": "prompts", "prompts": []})
        for message in self.greeting:
            await socket.send_bytes(pack_single(encode(message)))
        self._sockets.append(socket)
        acked: list[int] = []
        self.acked.append(acked)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._read(socket, acked, json.loads(message.data))
        self._sockets.remove(socket)
        return socket

    async def _read(self, socket: web.WebSocketResponse, acked: list[int], message: dict[str, Any]) -> None:
        if message["type"] == "call":
            try:
                reply = {"ok": True, "result": self.handle(message["op"], message["args"])}
            except Rejection as rejection:
                reply = {"ok": False, "error": str(rejection)}
            await socket.send_json({"type": "answer", "id": message["id"], **reply})
        with self._changed:
            self.received.append(message)
            if message["type"] == "ack":
                acked.append(message["seq"])
            self._changed.notify_all()


async def _index(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(PAGE_FOLDER / "index.html")


async def _add_policy(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def jpeg_of(image: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) RGB as JPEG."""
    is_encoded, body = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert is_encoded
    return body.tobytes()


def block(x0: int, y0: int, x1: int, y1: int, **values: Any) -> MessageObject:
    """Return an object that fills its box."""
    mask = CropMask(np.ones((y1 - y0, x1 - x0), np.bool_), x0, y0)
    found = MessageObject(1, (), (float(x0), float(y0), float(x1), float(y1)), 0.9, mask, mask.area)
    return replace(found, **values)


def page_frame(*objects: MessageObject, seq: int = 0, size: tuple[int, int] = (240, 320), **changes: Any) -> Message:
    """Return a frame with a grey image and these objects, captured now; its index is 100 + seq."""
    message = Message(
        source_id="cam0",
        frame_index=100 + seq,
        captured_ns=time.time_ns(),
        clock="driver",
        age_ms=1.0,
        image_size=size,
        mask_size=size,
        mask_to_image=(1.0, 1.0, 0.0, 0.0),
        objects=objects,
        jpeg=jpeg_of(np.full((*size, 3), 90, np.uint8)),
        epoch="e",
        seq=seq,
    )
    return replace(message, **changes)


def scene_frame(
    renderer: SceneRenderer, index: int, *, prompts: Sequence[PromptStatus] = (), source_id: str = "cam0"
) -> Message:
    """Return a frame of the scene with its ground truth; objects to which prompts are bound match them."""
    truth = renderer.truth(index)
    objects = tuple(
        MessageObject(
            track_id=int(track_id),
            prompt_ids=tuple(one.prompt_id for one in prompts if one.track_id == track_id and one.state != "lost"),
            box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            score=0.9,
            mask=mask,
            area=mask.area,
        )
        for track_id, box, mask in zip(truth.track_ids, truth.boxes, truth.masks, strict=True)
    )
    frame = page_frame(*objects, seq=index, size=renderer.size, source_id=source_id, prompts=tuple(prompts))
    return replace(frame, frame_index=index, jpeg=jpeg_of(renderer.render(index)))
