"""The page's server: HTTP routes, and the protocol of the WebSocket.

Every URL except those under /static requires `?token=T`, which decides the role, and every request a Host header
of this server; otherwise the response is 403 with one line of text.

    GET /                          the page                GET /static/NAME       its modules and style sheet
    GET /ws                        the WebSocket           GET /stream.mjpg?source=S   images with overlays
    GET /snapshot.png?source=S     the newest frame with overlays, at the size of the source
    GET /snapshot.json?source=S    its published message, as a line of the message file
        both accept `&index=N`, the frame index in its header: exactly that frame, or 404 if it is no longer kept

Server to browser, text:

    {"type": "hello", "version": 1, "sources": [{"id": "cam0"}], "epoch": "5f0c…"}      first,
                                             and when the sources change
    {"type": "role", "role": "control"}      once; "read": only `status` and operations whose names end with `.list`
                                             or `.types` may be called
    {"type": "prompts", "prompts": […], "names": {"p1": "cup"}}     at the start, and after a change by any client;
                                             `names` are those given on a page, by id
    {"type": "status", …}                    every second: `RunStats.as_json`
    {"type": "answer", "id": 7, "ok": true, "result": …}   or   {…, "ok": false, "error": "one line"}
    {"type": "error", "error": "one line"}   the last message was rejected; the connection stays open

Server to browser, binary: one frame, packed by `wire.pack_single`: the topic `pic/1/<source>/`, the header, the masks
(rle-crop-u32) and the JPEG. Its `objects` are all instances of the frame; those that match prompts have
`prompt_ids`. `seq` counts the frames of the source since this server started, displayed or not, and `epoch`
identifies this start. `image` is the source's size, to which boxes and prompts refer; the JPEG and the mask space are
smaller if the source is wider than `viewer.max_width`. The JPEG, whatever its size, covers the whole image.

Browser to server, text:

    {"type": "view", "sources": ["cam0"]}          sources to send from now on; all at first, [] for none
    {"type": "ack", "source": "cam0", "seq": 17}   this frame and all earlier ones were displayed
    {"type": "call", "id": 7, "op": "prompts.set", "args": {…}}     see `runtime.operations`; in addition:
        prompts.rename   {"id": "p1", "name": "cup"} -> {"names": {…}}     display name on all pages; the id stays

At most two frames of each source are unacknowledged at a time, and the next one sent is always the newest.
A message longer than 1 MB is rejected, one longer than 2 MB ends the connection, and a browser that sends more
than 500 messages (or 500 kB) per second is read no faster than that.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler as Respond

from streamseg.pipeline import FrameResult
from streamseg.runtime.sinks import message_line
from streamseg.viewer.access import Access
from streamseg.viewer.channel import Channel
from streamseg.viewer.client import CLOSE_SECONDS, HEARTBEAT_SECONDS, MAX_READ_BYTES, Client
from streamseg.viewer.frames import drawn_png
from streamseg.viewer.hub import Hub

__all__ = ["PAGE_FOLDER", "Server"]

logger = logging.getLogger(__name__)

PAGE_FOLDER: Final = Path(__file__).parent / "page"
MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".png": "image/png",
}
"""Media type by file extension; other files of the page folder are not served."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
OPEN_PATHS: Final = ("/static/", "/favicon.ico")
"""Paths without a token: the page's modules import each other without it and contain no secret."""
BOUNDARY: Final = "streamseg-frame"
STREAM_BUFFER_BYTES: Final = 128 << 10
"""Size of the system's send buffer for MJPEG, which has no acknowledgements: frames in it grow old."""


class Server:
    """Handlers of the HTTP routes.

    Args:
        hub: sources and operations.
        access: requirements for a request.
        page: folder of the page.
    """

    def __init__(self, hub: Hub, access: Access, *, page: Path = PAGE_FOLDER) -> None:
        self._hub = hub
        self._access = access
        self._page = page
        self._drawing = asyncio.Semaphore(1)  # snapshots are slow, and frames must not wait for them

    def application(self) -> web.Application:
        """Create the aiohttp application."""
        application = web.Application(middlewares=[self._guard])
        application.on_response_prepare.append(_add_headers)
        application.add_routes(
            [
                web.get("/", self._index),
                web.get("/static/{name:.+}", self._static),
                web.get("/favicon.ico", _no_icon),
                web.get("/ws", self._websocket),
                web.get("/stream.mjpg", self._stream, allow_head=False),
                web.get("/snapshot.png", self._snapshot_image),
                web.get("/snapshot.json", self._snapshot_message),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        reason = self._access.reject_host(request.headers.get("Host"))
        if reason is None and not request.path.startswith(OPEN_PATHS):
            reason = self._access.reject_token(request.query.get("token"))
        if reason is None and request.path == "/ws":
            reason = self._access.reject_origin(request.headers.get("Origin"), request.headers.get("Host"))
        if reason is not None:
            logger.warning("%s was rejected: %s", request.path[:80], reason)
            return web.Response(status=403, text=f"{reason}\n")
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return web.Response(status=error.status, text=f"{error.text or error.reason}\n")

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, request.match_info["name"])

    def _file(self, request: web.Request, name: str) -> web.Response:
        """Serve a file of the page folder; it is looked up among the existing ones, so that no name leads out of it."""
        files = {path.relative_to(self._page).as_posix(): path for path in self._page.rglob("*") if path.is_file()}
        path = files.get(name)
        if path is None or path.suffix not in MEDIA_TYPES:
            raise web.HTTPNotFound(text=f"no file {name[:80]!r}")
        body = path.read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}  # always revalidated, as another version may be running
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=MEDIA_TYPES[path.suffix], charset="utf-8", headers=headers)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self._hub.is_full:
            raise web.HTTPServiceUnavailable(text=f"{len(self._hub.listeners)} pages are open already; close one")
        # Masks and JPEGs are compressed already; compressing them again costs more than it saves.
        ws = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            compress=False,
            max_msg_size=MAX_READ_BYTES,
            writer_limit=64 << 10,
        )
        await ws.prepare(request)
        role = self._access.role_of(request.query.get("token")) or "read"
        await Client(self._hub, ws, role).serve()
        return ws

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        source_id = self._source_of(request)
        if self._hub.is_full:
            raise web.HTTPServiceUnavailable(text="too many pages and streams are open already; close one")
        response = web.StreamResponse(
            headers={
                "Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}",
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)
        transport.set_write_buffer_limits(high=0)
        channel = self._hub.drawn[source_id]
        watcher = _StreamWatcher(channel)
        self._hub.num_streams += 1
        channel.join(watcher)
        try:
            while (body := await watcher.next()) is not None:
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                await response.write(head.encode("ascii") + body + b"\r\n")
            return response  # the source was removed
        except ConnectionError:
            return response
        finally:
            self._hub.num_streams -= 1
            channel.leave(watcher)

    async def _snapshot_image(self, request: web.Request) -> web.StreamResponse:
        result = self._result_of(request)
        async with self._drawing:
            body = await asyncio.to_thread(drawn_png, result)
        return web.Response(body=body, content_type="image/png", headers=_frame_headers(result))

    async def _snapshot_message(self, request: web.Request) -> web.StreamResponse:
        result = self._result_of(request)
        async with self._drawing:
            line = await asyncio.to_thread(message_line, result.message)
        return web.Response(text=line, content_type="application/json", headers=_frame_headers(result))

    def _result_of(self, request: web.Request) -> FrameResult:
        """Return the frame that the query names."""
        result = self._hub.slots[self._source_of(request)].snapshot(_index_of(request))
        if result is None:
            raise web.HTTPNotFound(text="no such frame, or it is no longer kept; omit the index for the newest")
        return result

    def _source_of(self, request: web.Request) -> str:
        """Return the source in the query, or the first source if the query names none."""
        sources = tuple(self._hub.slots)
        source_id = request.query.get("source", sources[0])
        if source_id not in sources:
            raise web.HTTPNotFound(text=f"unknown source {source_id[:80]!r}; sources are {', '.join(sources)}")
        return source_id


class _StreamWatcher:
    """A watcher of images with overlays that accepts one per call of `next`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._shown = -1
        self._body: bytes | None = None
        self._is_waiting = False
        self._has_ended = False
        self._woken = asyncio.Event()

    def wants(self, source_id: str, seq: int) -> bool:
        """Return whether this frame would be written at once."""
        return self._is_waiting and seq > self._shown

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        """Accept a wanted frame."""
        self._shown, self._body, self._is_waiting = seq, body, False
        self._woken.set()

    def end(self) -> None:
        """Let `next` return None from now on."""
        self._has_ended = True
        self._woken.set()

    async def next(self) -> bytes | None:
        """Wait for an image newer than the last one; None if no more follow."""
        self._is_waiting = True
        self._woken.clear()
        self._channel.wake()
        if not self._has_ended:
            await self._woken.wait()
        body, self._body = self._body, None
        return body


async def _no_icon(request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _index_of(request: web.Request) -> int | None:
    text = request.query.get("index")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 16:
        raise web.HTTPBadRequest(text=f"index must be a frame index, a non-negative integer, got {text[:40]!r}")
    return int(text)


def _frame_headers(result: FrameResult) -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Frame-Index": str(result.frame.index)}
