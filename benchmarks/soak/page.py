"""An open page: a client that receives every frame that the run's page would show, and acknowledges it."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Self

import aiohttp

from streamseg.wire import decode, unpack_single

__all__ = ["OpenPage"]


class OpenPage:
    """One client of the page in a thread of its own; use it as a context manager.

    Args:
        url: the address that the run prints.
    """

    def __init__(self, url: str) -> None:
        self.num_frames = 0
        self._url = url.replace("/?", "/ws?")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="page")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the run has ended, which closes the connection."""
        self._thread.join()

    async def _watch(self) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url, max_msg_size=0) as socket:
            async for received in socket:
                if received.type is not aiohttp.WSMsgType.BINARY:
                    continue
                message = decode(unpack_single(received.data))
                self.num_frames += 1
                ack = {"type": "ack", "source": message.source_id, "seq": message.seq}
                await socket.send_str(json.dumps(ack))
