"""What is asked of one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamseg.structures.prompt import EverythingPrompt, Prompt, SpatialPrompt, TextPrompt

__all__ = ["PromptSet"]


@dataclass(frozen=True, eq=False)
class PromptSet:
    """The prompts of one source, sorted once for as long as they stay."""

    given: Sequence[Prompt]
    """Those of all sources."""
    prompts: tuple[Prompt, ...]
    placed: tuple[EverythingPrompt | SpatialPrompt, ...]
    texts: tuple[TextPrompt, ...]
    labels: Mapping[str, str]
    """Of objects, by the id of the text that they answer."""

    @classmethod
    def of(cls, given: Sequence[Prompt], source_id: str) -> PromptSet:
        """Those for every source, and those for this one; 0 are fine."""
        prompts = tuple(prompt for prompt in given if prompt.source_id in (None, source_id))
        texts = tuple(prompt for prompt in prompts if isinstance(prompt, TextPrompt))
        return cls(
            given,
            prompts,
            tuple(prompt for prompt in prompts if not isinstance(prompt, TextPrompt)),
            texts,
            {prompt.prompt_id: prompt.text for prompt in texts},
        )
