"""State shared by all browsers: the sources' channels, the run's operations, prompt names, and notifications."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamseg.publish.control import Op, handle_request
from streamseg.publish.jpeg import EncodeImage
from streamseg.structures.prompt import Prompt
from streamseg.viewer.channel import Channel, Listener, Slot
from streamseg.viewer.frames import drawn_jpeg, packed_frame
from streamseg.viewer.prompt_names import PromptNames
from streamseg.wire import prompt_to_json

if TYPE_CHECKING:
    from streamseg.runtime.session import Session

__all__ = ["PROTOCOL_VERSION", "Hub", "Run"]

PROTOCOL_VERSION: Final = 1
MAX_CLIENTS: Final = 64
"""Maximum number of WebSockets and MJPEG streams together; one page uses one of them."""
STATUS_SECONDS: Final = 1.0
"""Interval of status notifications."""
PROMPTS_SECONDS: Final = 0.05
"""Interval of checks for prompts that changed elsewhere: imperceptible, and without work for the pipeline."""


def _no_status() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Run:
    """The parts of a run that the page displays and controls."""

    operations: Mapping[str, Op] = field(default_factory=dict)
    """Operations of the control channel; called from several threads, so they lock shared state."""
    status: Callable[[], dict[str, Any]] = _no_status
    """Returns the run statistics as JSON values; empty before a run is attached."""
    prompts: Callable[[], Sequence[Prompt]] = tuple
    """Returns the prompts in force."""

    @classmethod
    def from_session(cls, session: Session) -> Run:
        """Return the run of an open session."""
        runtime = session.runtime
        return cls(session.operations, lambda: runtime.stats().as_json(), lambda: runtime.pipeline.prompts)


class Hub:
    """The part of the viewer that runs in its event loop.

    Args:
        source_ids: sources to display, in the order of the page.
        max_width: see `packed_frame`.
        encode_image: returns an image as JPEG; called by several threads.
    """

    def __init__(self, source_ids: Sequence[str], *, max_width: int, encode_image: EncodeImage) -> None:
        self.epoch = secrets.token_hex(8)
        """Identifies this start of the viewer."""
        self.run = Run()
        self._pack = partial(packed_frame, epoch=self.epoch, max_width=max_width, encode_image=encode_image)
        self._draw = partial(drawn_jpeg, max_width=max_width, encode_image=encode_image)
        self.slots: dict[str, Slot] = {}
        self.packed: dict[str, Channel] = {}
        """Channels of messages for the page, by source id."""
        self.drawn: dict[str, Channel] = {}
        """Channels of images with overlays for browsers without scripts, by source id."""
        self.removed: set[str] = set()
        """Ids of removed sources, about which pages may still send messages."""
        self._encoding: dict[str, list[asyncio.Task[None]]] = {}
        """Running channels, by source id; empty before `serve`."""
        self._is_serving = False
        for source_id in source_ids:
            self.add_source(source_id)
        self.listeners: set[Listener] = set()
        """Connected pages."""
        self.num_streams = 0
        """Number of open MJPEG streams."""
        self._calling = asyncio.Semaphore(1)
        self.failure: BaseException | None = None
        """First error passed to `fail`."""
        self._failed = asyncio.Event()
        self._names = PromptNames()
        self._own: dict[str, Op] = {"prompts.rename": self._rename}
        self._prompts: Sequence[Prompt] | None = None
        self._prompts_text = ""

    @property
    def is_full(self) -> bool:
        """Whether no further page or stream is accepted."""
        return len(self.listeners) + self.num_streams >= MAX_CLIENTS

    def add_source(self, source_id: str) -> None:
        """Display another source, also on the connected pages. Without effect if it is displayed already."""
        if source_id in self.slots:
            return
        self.removed.discard(source_id)
        slot = self.slots[source_id] = Slot(source_id)
        self.packed[source_id], self.drawn[source_id] = Channel(slot, self._pack), Channel(slot, self._draw)
        if self._is_serving:
            self._encode(source_id)
            self._notify_sources()

    def remove_source(self, source_id: str) -> None:
        """Display a source no more; its streams end. Without effect if it is unknown."""
        if self.slots.pop(source_id, None) is None:
            return
        self.removed.add(source_id)
        for listener in self.listeners:
            listener.forget(source_id)
        del self.packed[source_id]
        self.drawn.pop(source_id).end()
        for task in self._encoding.pop(source_id, ()):
            task.cancel()
        self._notify_sources()

    async def call(self, request: bytes, op: str) -> bytes:
        """Return the reply to a control request; runs in another thread, because frames must not wait for it.

        The page's own operations run at once: other clients of the run identify prompts by their ids.
        """
        if op in self._own:
            reply = handle_request(self._own, request)
        else:
            # One at a time, as operations are anyway: slow ones would otherwise take all threads that encode frames.
            async with self._calling:
                reply = await asyncio.to_thread(handle_request, self.run.operations, request)
        self.notify_prompts()
        return reply

    async def serve(self) -> None:
        """Encode frames and notify pages until cancelled, or until a part fails; its error is raised."""
        self._is_serving = True
        for source_id in self.slots:
            self._encode(source_id)
        tasks = [asyncio.create_task(work) for work in (self._notify(), self._fail())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._is_serving = False
            tasks += [task for encoding in self._encoding.values() for task in encoding]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def fail(self, error: BaseException) -> None:
        """Make `serve` raise this error, unless another one came first."""
        if self.failure is None:
            self.failure = error
        self._failed.set()

    def hello_text(self) -> str:
        """Return the first message to a page."""
        sources = [{"id": source_id} for source_id in self.slots]
        return _text({"type": "hello", "version": PROTOCOL_VERSION, "sources": sources, "epoch": self.epoch})

    def status_text(self) -> str:
        """Return the message with the run statistics."""
        return _text({"type": "status", **self.run.status()})

    def prompts_text(self) -> str:
        """Return the message with the prompts in force."""
        self._read_prompts()
        return self._prompts_text

    def notify_prompts(self) -> None:
        """Notify all pages if the prompts have changed since the last notification."""
        if self._read_prompts():
            for listener in self.listeners:
                listener.notify("prompts", self._prompts_text)

    def _encode(self, source_id: str) -> None:
        """Start the channels of a source; the error of one ends the viewer."""

        def check(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self.fail(error)

        channels = (self.packed[source_id], self.drawn[source_id])
        self._encoding[source_id] = [asyncio.create_task(channel.run()) for channel in channels]
        for task in self._encoding[source_id]:
            task.add_done_callback(check)

    def _notify_sources(self) -> None:
        hello = self.hello_text()
        for listener in self.listeners:
            listener.notify("hello", hello)

    def _rename(self, args: dict[str, Any]) -> dict[str, Any]:
        self._names.rename(args, {prompt.prompt_id for prompt in self.run.prompts()})
        self._prompts = None  # so that all pages are notified
        return {"names": self._names.as_json}

    async def _fail(self) -> None:
        await self._failed.wait()
        if self.failure is not None:
            raise self.failure

    async def _notify(self) -> None:
        """Send all pages the status every second, and the prompts whenever they change."""
        status_at = time.monotonic()
        while True:
            if self.listeners:
                self.notify_prompts()
                if time.monotonic() >= status_at:
                    status = self.status_text()
                    for listener in self.listeners:
                        listener.notify("status", status)
                    status_at = time.monotonic() + STATUS_SECONDS
            await asyncio.sleep(PROMPTS_SECONDS)

    def _read_prompts(self) -> bool:
        """Rewrite `_prompts_text` if the prompts have changed, and return whether they have."""
        prompts = self.run.prompts()
        if prompts is self._prompts or prompts == self._prompts:
            return False
        self._prompts = prompts
        self._names.keep({prompt.prompt_id for prompt in prompts})
        values = [prompt_to_json(prompt) for prompt in prompts]
        self._prompts_text = _text({"type": "prompts", "prompts": values, "names": self._names.as_json})
        return True


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
