"""Text prompts: the interface of text matchers, and the state of the texts of one source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from streamseg.errors import ConfigError
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection, TextPrompt

__all__ = ["SourceTextMatcher", "TextMatcher", "TextTracker", "prepare_texts"]


class SourceTextMatcher(Protocol):
    """Matches texts with the objects of one source; may remember objects by track id."""

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """Return one Selection per prompt, in the prompts' order: the rows that match its text, best first."""


class TextMatcher(Protocol):
    """Matches texts with objects; shared by all sources."""

    def prepare(self) -> object:
        """Load what is needed, before the first text is used; thread-safe. Raises StreamsegError if it cannot."""

    def open_source(self) -> SourceTextMatcher:
        """Return a matcher for one source, without any memory of objects."""


def prepare_texts(matcher: TextMatcher | None, prompts: Sequence[TextPrompt]) -> None:
    """Get a matcher ready for some texts; thread-safe. No texts need nothing.

    Args:
        matcher: the text matcher, or None if no text encoder is configured.
        prompts: the texts.

    Raises:
        ConfigError: there are texts, but no matcher.
        WeightsError, EngineError: the matcher cannot be loaded.
    """
    if not prompts:
        return
    if matcher is None:
        raise ConfigError(
            f"prompt {prompts[0].prompt_id!r} is a text prompt, but no text encoder is configured; configure text"
            " encoders, or use points, a box or a mask"
        )
    matcher.prepare()


class TextTracker:
    """Match the texts of one source, frame by frame, and keep their states.

    Args:
        matcher: the matcher of this source, or None if no text encoder is configured.
    """

    def __init__(self, matcher: SourceTextMatcher | None) -> None:
        self._matcher = matcher
        self._matched: frozenset[tuple[str, str]] = frozenset()
        """Id and text of the prompts that have had a match at any time."""

    def update(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """Return one Selection per prompt, in the prompts' order, each with its status.

        Args:
            frame: the frame; frames come in order.
            tracked: its objects, K of them; may be 0.
            prompts: P texts; for P = 0 the matcher is not called.
        """
        if not prompts or self._matcher is None:
            self._matched = frozenset()
            return []
        selections = self._matcher(frame, tracked, prompts)
        keys = [(text.prompt_id, text.text) for text in prompts]
        matched = {key for key, one in zip(keys, selections, strict=True) if one.rows} | self._matched
        self._matched = frozenset(matched & set(keys))
        return [
            one if one.status is not None else replace(one, status=_status(one, key in matched))
            for key, one in zip(keys, selections, strict=True)
        ]


def _status(selection: Selection, was_matched: bool) -> PromptStatus:
    if not selection.rows:
        return PromptStatus(selection.prompt_id, "lost" if was_matched else "none")
    # Several objects may match a text, so the match as a whole has no track id.
    return PromptStatus(selection.prompt_id, "bound", min(max(max(selection.scores), 0.0), 1.0))
