"""Prompts that a worker puts into force while its heartbeats go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from streamseg.errors import StreamsegError
from streamseg.fleet.report import PromptReply
from streamseg.resources import Resource
from streamseg.structures.prompt import EverythingPrompt, Prompt, TextPrompt
from streamseg.wire import prompt_from_json

__all__ = ["WorkerPrompts"]

logger = logging.getLogger(__name__)

REPLY_SECONDS: Final = 0.2
"""Time that a heartbeat waits for its prompts, so that most are answered at once."""


class WorkerPrompts(Resource):
    """Puts the newest prompts into force, in a thread of its own: the first text loads encoders, which takes seconds.

    Args:
        set_prompts: replaces the prompts of the run; its StreamsegError refuses them.
    """

    def __init__(self, set_prompts: Callable[[Sequence[Prompt]], None]) -> None:
        self._set_prompts = set_prompts
        self._known: dict[str, tuple[Mapping[str, Any], Prompt]] = {}
        self._wanted: tuple[int, tuple[Prompt, ...]] | None = None
        self._reply = PromptReply(0)
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="streamseg prompts", daemon=True)
        self._thread.start()

    @property
    def reply(self) -> PromptReply:
        """The last reply; revision 0 stands for the prompts of the configuration."""
        with self._changed:
            return self._reply

    def want(self, revision: int, prompts: Sequence[Mapping[str, Any]], open_sources: Sequence[str]) -> None:
        """Put these prompts into force, and wait a moment for it.

        Prompts that the worker has already keep their targets. The frame that the sender of another one saw counts if
        its source is open here: the frames of another worker have other indices.

        Args:
            revision: number of the prompts, larger than that of earlier ones.
            prompts: the prompts as JSON.
            open_sources: sources that are open at the moment.
        """
        known: dict[str, tuple[Mapping[str, Any], Prompt]] = {}
        for values in prompts:
            before = self._known.get(values["id"])
            if before is not None and before[0] == values:
                known[values["id"]] = before  # with its mask object, which `==` does not compare
                continue
            prompt = prompt_from_json(values)
            if not isinstance(prompt, EverythingPrompt | TextPrompt) and prompt.source_id not in (None, *open_sources):
                prompt = replace(prompt, frame_index=None)
            known[values["id"]] = (values, prompt)
        self._known = known
        with self._changed:
            self._wanted = (revision, tuple(prompt for _, prompt in known.values()))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._reply.revision >= revision or self._is_closing, REPLY_SECONDS)

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._is_closing)
                if self._wanted is None or self._is_closing:
                    return
                (revision, prompts), self._wanted = self._wanted, None
            error = None
            try:
                self._set_prompts(prompts)
            except StreamsegError as refused:
                error = str(refused)
                logger.error("%s", error)
            with self._changed:
                self._reply = PromptReply(revision, error)
                self._changed.notify_all()
