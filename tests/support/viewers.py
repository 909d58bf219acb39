"""Results to display, a client of the page's protocol, and a fake run that it controls."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp

from streamseg.config import ViewerConfig
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt, PointPrompt, Prompt
from streamseg.viewer import Run, Viewer
from streamseg.wire import decode, unpack_single
from tests.support.frames import make_frame
from tests.support.stages import make_instances

WAIT_SECONDS = 60.0
"""Time limit of a wait, far more than anything takes; a test that reaches it has failed."""

BOXES = ([4.0, 4.0, 20.0, 20.0], [30.0, 10.0, 60.0, 40.0])

CUP = PointPrompt("cup", ((12.0, 12.0),), (1,))

Value = TypeVar("Value")


def make_result(
    index: int = 0,
    source_id: str = "cam0",
    *,
    boxes: Sequence[Sequence[float]] = BOXES,
    prompts: Sequence[Prompt] = (EverythingPrompt(),),
    size: tuple[int, int] = (48, 64),
    **settings: Any,
) -> FrameResult:
    """Return the result of a pipeline for a frame with objects that fill these boxes."""
    frame = make_frame(index, source_id=source_id, size=size)
    return Pipeline(lambda images, regions=None: [], prompts=prompts, **settings).finish(
        frame, make_instances(boxes, image_size=frame.size)
    )


def small_viewer(*source_ids: str, **values: Any) -> Viewer:
    """Open a viewer on a port that the system chooses."""
    return Viewer(source_ids or ("cam0",), ViewerConfig(port=0, **values))


def address(viewer: Viewer, path: str, *, token: str | None = "", **query: str) -> str:
    """Return a URL of a viewer's server; `token`: replaces the right token unless empty, None: no token."""
    parts = urlsplit(viewer.url)
    right = parse_qs(parts.query)["token"][0]
    words = {**({} if token is None else {"token": token or right}), **query}
    return f"http://{parts.netloc}{path}?" + "&".join(f"{name}={value}" for name, value in words.items())


async def soon(waiting: Awaitable[Value]) -> Value:
    """Wait for a result; raises TimeoutError after `WAIT_SECONDS`."""
    async with asyncio.timeout(WAIT_SECONDS):
        return await waiting


class Browser:
    """One WebSocket, and everything received from it in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: list[dict[str, Any]] = []
        self.frames: list[Message] = []

    async def send(self, **values: Any) -> None:
        await self.socket.send_str(json.dumps(values))

    async def acknowledge(self, frame: Message) -> None:
        await self.send(type="ack", source=frame.source_id, seq=frame.seq)

    async def call(self, op: str, args: dict[str, Any] | None = None, *, call_id: int = 1) -> dict[str, Any]:
        """Call an operation and return its reply; messages received before it are kept."""
        await self.send(type="call", id=call_id, op=op, args=args or {})
        return await self.text("answer")

    async def text(self, kind: str) -> dict[str, Any]:
        """Receive the next text of a type."""
        while True:
            received = await self.read()
            if isinstance(received, dict) and received["type"] == kind:
                return received

    async def frame(self) -> Message:
        """Receive the next frame."""
        while True:
            received = await self.read()
            if isinstance(received, Message):
                return received

    async def read(self) -> dict[str, Any] | Message:
        """Receive the next text or frame."""
        message = await soon(self.socket.receive())
        if message.type is aiohttp.WSMsgType.TEXT:
            self.texts.append(json.loads(message.data))
            return self.texts[-1]
        assert message.type is aiohttp.WSMsgType.BINARY, message
        self.frames.append(decode(unpack_single(message.data)))
        return self.frames[-1]

    async def closed(self) -> int | None:
        """Receive until the connection is closed; return the server's close code."""
        while (await soon(self.socket.receive())).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            pass
        return self.socket.close_code


@contextlib.asynccontextmanager
async def browsing(viewer: Viewer, **options: Any) -> AsyncIterator[Browser]:
    """Open a page."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address(viewer, "/ws"), **options) as socket:
        yield Browser(socket)


class FakeRun:
    """A run with prompts that can be set, and statistics that count how often they were requested."""

    def __init__(self) -> None:
        self.prompts: tuple[Prompt, ...] = (EverythingPrompt(),)
        self.num_requests = 0
        self.run = Run({"set": self._set, "refuse": self._refuse, "break": self._break}, self._status, self._prompts)

    def _prompts(self) -> tuple[Prompt, ...]:
        return self.prompts

    def _status(self) -> dict[str, Any]:
        self.num_requests += 1
        return {"num_requests": self.num_requests, "is_paused": False}

    def _set(self, args: dict[str, Any]) -> Any:
        self.prompts = (CUP,)
        return {"set": args}

    def _refuse(self, args: dict[str, Any]) -> Any:
        raise DataError("no such\nprompt")

    def _break(self, args: dict[str, Any]) -> Any:
        raise ZeroDivisionError("a bug")


def with_browser(test: Callable[[Viewer, Browser, FakeRun], Awaitable[None]], *source_ids: str) -> None:
    """Run a test with one open page."""

    async def main(viewer: Viewer, run: FakeRun) -> None:
        async with browsing(viewer) as browser:
            await test(viewer, browser, run)

    run = FakeRun()
    with small_viewer(*source_ids) as viewer:
        viewer.attach(run.run)
        asyncio.run(main(viewer, run))
