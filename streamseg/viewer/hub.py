"""What all browsers share: the sources' channels, the run's operations, and what is told to everybody."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamseg.publish.control import Op, answer
from streamseg.structures.prompt import Prompt
from streamseg.viewer.channel import Channel, Slot
from streamseg.viewer.frames import drawn_jpeg, packed_frame
from streamseg.viewer.names import Names
from streamseg.wire import prompt_to_json

if TYPE_CHECKING:
    from streamseg.runtime.session import Session
    from streamseg.viewer.client import Client

__all__ = ["PROTOCOL_VERSION", "Hub", "Run"]

PROTOCOL_VERSION: Final = 1
MAX_CLIENTS: Final = 64
"""Browsers' sockets and MJPEG streams together; one page is one of them."""
STATUS_SECONDS: Final = 1.0
PROMPTS_SECONDS: Final = 0.05
"""How soon everybody learns of prompts that changed elsewhere: within a blink, and without work for the pipeline."""


def _no_status() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Run:
    """What the page can see of the run and do to it."""

    operations: Mapping[str, Op] = field(default_factory=dict)
    """Those of the control channel; called in several threads, so that they lock what they share."""
    status: Callable[[], dict[str, Any]] = _no_status
    """Figures as JSON values; empty while there are none."""
    prompts: Callable[[], Sequence[Prompt]] = tuple
    """In force."""

    @classmethod
    def of(cls, session: Session) -> Run:
        """What a session opened."""
        runtime = session.runtime
        return cls(session.operations, lambda: runtime.figures().as_json(), lambda: runtime.pipeline.prompts)


class Hub:
    """The part of the viewer that lives in its event loop.

    Args:
        source_ids: whose frames are shown, in the order of the page.
        max_width: see `packed_frame`.
        jpeg_quality: 1..100.
    """

    def __init__(self, source_ids: Sequence[str], *, max_width: int, jpeg_quality: int) -> None:
        self.epoch = secrets.token_hex(8)
        """Identifies this start of the viewer."""
        self.run = Run()
        self.slots = {source_id: Slot(source_id) for source_id in source_ids}
        pack = partial(packed_frame, epoch=self.epoch, max_width=max_width, jpeg_quality=jpeg_quality)
        draw = partial(drawn_jpeg, max_width=max_width, jpeg_quality=jpeg_quality)
        self.packed = {source_id: Channel(slot, pack) for source_id, slot in self.slots.items()}
        """Messages for the page."""
        self.drawn = {source_id: Channel(slot, draw) for source_id, slot in self.slots.items()}
        """Pictures for browsers without scripts."""
        self.clients: set[Client] = set()
        self.num_streams = 0
        """MJPEG streams that are open."""
        self._calling = asyncio.Semaphore(1)
        self.failure: BaseException | None = None
        """The first mistake that was met."""
        self._failed = asyncio.Event()
        self._names = Names()
        self._own: dict[str, Op] = {"prompts.rename": self._rename}
        self._prompts: Sequence[Prompt] | None = None
        self._prompts_text = ""

    @property
    def is_full(self) -> bool:
        """Whether nobody else can watch."""
        return len(self.clients) + self.num_streams >= MAX_CLIENTS

    async def call(self, request: bytes, op: str) -> bytes:
        """The answer to a request of the control channel, in another thread: frames must not wait for an operation.

        The page's own operation `op` is done at once: other clients of the run know prompts by their ids.
        """
        if op in self._own:
            reply = answer(self._own, request)
        else:
            # One at a time, as operations are anyway: else slow ones would take all threads that frames are made in.
            async with self._calling:
                reply = await asyncio.to_thread(answer, self.run.operations, request)
        self.tell_prompts()
        return reply

    async def serve(self) -> None:
        """Make frames and tell what is new until cancelled, or until a part fails, whose error is raised."""
        channels = (*self.packed.values(), *self.drawn.values())
        tasks = [asyncio.create_task(work) for work in (*(one.run() for one in channels), self._tell(), self._fail())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def fail(self, error: BaseException) -> None:
        """Let `serve` raise this, the first of its kind."""
        if self.failure is None:
            self.failure = error
        self._failed.set()

    def hello(self) -> str:
        """What a browser is told first."""
        sources = [{"id": source_id} for source_id in self.slots]
        return _text({"type": "hello", "version": PROTOCOL_VERSION, "sources": sources, "epoch": self.epoch})

    def status(self) -> str:
        """How the run is doing."""
        return _text({"type": "status", **self.run.status()})

    def prompts(self) -> str:
        """What is asked of every frame."""
        self._read_prompts()
        return self._prompts_text

    def tell_prompts(self) -> None:
        """Tell everybody if the prompts have changed since they were told last."""
        if self._read_prompts():
            for client in self.clients:
                client.tell("prompts", self._prompts_text)

    def _rename(self, args: dict[str, Any]) -> dict[str, Any]:
        self._names.rename(args, {prompt.prompt_id for prompt in self.run.prompts()})
        self._prompts = None  # so that everybody is told
        return {"names": self._names.as_json}

    async def _fail(self) -> None:
        await self._failed.wait()
        if self.failure is not None:
            raise self.failure

    async def _tell(self) -> None:
        """Tell everybody the figures each second, and the prompts whenever they change."""
        status_at = time.monotonic()
        while True:
            if self.clients:
                self.tell_prompts()
                if time.monotonic() >= status_at:
                    status = self.status()
                    for client in self.clients:
                        client.tell("status", status)
                    status_at = time.monotonic() + STATUS_SECONDS
            await asyncio.sleep(PROMPTS_SECONDS)

    def _read_prompts(self) -> bool:
        """Whether they differ from those in `_prompts_text`, which is then written anew."""
        prompts = self.run.prompts()
        if prompts is self._prompts or prompts == self._prompts:
            return False
        self._prompts = prompts
        self._names.keep({prompt.prompt_id for prompt in prompts})
        told = [prompt_to_json(prompt) for prompt in prompts]
        self._prompts_text = _text({"type": "prompts", "prompts": told, "names": self._names.as_json})
        return True


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
