"""Prompts that are texts: who can read them, and how they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from streamseg.errors import ConfigError
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.telemetry import StageTimer

__all__ = ["TextMatcher", "TextPrompts"]


class TextMatcher(Protocol):
    """What knows words."""

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """One Selection per prompt, in the prompts' order: the rows that are what it says, best first."""

    def prepare(self) -> object:
        """Get ready, from any thread, before the first text is asked for; raises StreamsegError where it cannot."""

    def end_source(self, source_id: str) -> None:
        """Forget the objects of a source, whose identities start afresh."""


class TextPrompts:
    """Answers the texts about any source.

    Args:
        reader: answers them; None where there is nobody who can.
    """

    def __init__(self, reader: TextMatcher | None) -> None:
        self._reader = reader
        self._answered: dict[str, frozenset[tuple[str, str]]] = {}
        """By source, id and text of those that had an answer at any time."""

    def prepare(self, prompt: TextPrompt) -> None:
        """Get ready for a text; from any thread.

        Raises:
            ConfigError: there is nobody who can read.
            WeightsError, EngineError: who reads cannot get ready.
        """
        if self._reader is None:
            raise ConfigError(
                f"prompt {prompt.prompt_id!r} is a text, and nothing here can read; configure text encoders, or ask"
                " with points, a box or a mask"
            )
        self._reader.prepare()

    def answers(
        self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt], *, timer: StageTimer
    ) -> list[Selection]:
        """One Selection per prompt, in the prompts' order, each with its status.

        Args:
            frame: the frame; those of a source come in order.
            tracked: its objects, K of them; 0 is fine.
            prompts: P of them; 0 are not read at all.
            timer: takes the stage `text`.
        """
        if not prompts or self._reader is None:
            self._answered.pop(frame.source_id, None)
            return []
        with timer.stage("text"):
            given = self._reader(frame, tracked, prompts)
        keys = [(text.prompt_id, text.text) for text in prompts]
        before = self._answered.get(frame.source_id, frozenset())
        answered = {key for key, one in zip(keys, given, strict=True) if one.rows} | before
        self._answered[frame.source_id] = frozenset(answered & set(keys))
        return [
            one if one.status is not None else replace(one, status=_status(one, key in answered))
            for key, one in zip(keys, given, strict=True)
        ]

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended."""
        self._answered.pop(source_id, None)
        if self._reader is not None:
            self._reader.end_source(source_id)


def _status(selection: Selection, was_answered: bool) -> PromptStatus:
    if not selection.rows:
        return PromptStatus(selection.prompt_id, "lost" if was_answered else "none")
    # Several objects may answer a text, so that none of their identities is that of the answer.
    return PromptStatus(selection.prompt_id, "bound", min(max(max(selection.scores), 0.0), 1.0))
