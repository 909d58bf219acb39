"""The prompts that apply to one source, grouped by kind once, when they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    Selection,
    SpatialPrompt,
    TextPrompt,
)

__all__ = ["PromptGroup", "PromptSet", "in_order"]

P = TypeVar("P", bound=Prompt, covariant=True)


@dataclass(frozen=True, eq=False)
class PromptGroup(Generic[P]):
    """Some prompts of a set, with their positions in it; may be empty."""

    prompts: tuple[P, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Prompts in a fixed order. Build it with `of` when the prompts change, not in each frame."""

    prompts: tuple[Prompt, ...]
    positions: tuple[int, ...]
    """Position of each prompt in the set that this one was taken from; 0, 1, 2 … for a set of its own."""

    @classmethod
    def of(cls, prompts: Iterable[Prompt]) -> PromptSet:
        """Return a set of its own; no prompts give an empty set."""
        given = tuple(prompts)
        return cls(given, tuple(range(len(given))))

    def for_source(self, source_id: str) -> PromptSet:
        """Return the prompts for every source and those for this one, as a set of its own."""
        return PromptSet.of(prompt for prompt in self.prompts if prompt.source_id in (None, source_id))

    @cached_property
    def everything(self) -> PromptGroup[EverythingPrompt]:
        """The prompts for every instance."""
        return self._group(EverythingPrompt)

    @cached_property
    def points(self) -> PromptGroup[PointPrompt]:
        """The point prompts."""
        return self._group(PointPrompt)

    @cached_property
    def boxes(self) -> PromptGroup[BoxPrompt]:
        """The box prompts."""
        return self._group(BoxPrompt)

    @cached_property
    def masks(self) -> PromptGroup[MaskPrompt]:
        """The mask prompts."""
        return self._group(MaskPrompt)

    @cached_property
    def texts(self) -> PromptGroup[TextPrompt]:
        """The text prompts."""
        return self._group(TextPrompt)

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """The text of each text prompt, by prompt id: the label of the objects that it selects."""
        return {prompt.prompt_id: prompt.text for prompt in self.texts.prompts}

    @cached_property
    def followed(self) -> PromptGroup[SpatialPrompt]:
        """The prompts that follow their target, in order."""
        groups: tuple[PromptGroup[SpatialPrompt], ...] = (self.points, self.boxes, self.masks)
        spatial = {
            position: prompt
            for group in groups
            for prompt, position in zip(group.prompts, group.positions, strict=True)
            if prompt.follow
        }
        positions = tuple(sorted(spatial))
        return PromptGroup(tuple(spatial[position] for position in positions), positions)

    @cached_property
    def unfollowed(self) -> PromptSet:
        """The prompts that are evaluated in each frame anew, texts excluded."""
        return self._without(*self.followed.positions, *self.texts.positions)

    @cached_property
    def textless(self) -> PromptSet:
        """All prompts but the texts: what masks alone can be matched with."""
        return self._without(*self.texts.positions)

    def _group(self, kind: type[P]) -> PromptGroup[P]:
        found = [(prompt, position) for position, prompt in enumerate(self.prompts) if isinstance(prompt, kind)]
        return PromptGroup(tuple(prompt for prompt, _ in found), tuple(position for _, position in found))

    def _without(self, *positions: int) -> PromptSet:
        left = [position for position in range(len(self.prompts)) if position not in positions]
        return PromptSet(tuple(self.prompts[position] for position in left), tuple(left))


def in_order(*matched: tuple[PromptGroup[Prompt] | PromptSet, Sequence[Selection]]) -> list[Selection]:
    """Merge the selections of several groups of one set into the order of that set.

    Args:
        matched: each group with one selection per prompt.

    Raises:
        ValueError: a group has more or fewer selections than prompts.
    """
    merged = {
        position: selection
        for group, selections in matched
        for position, selection in zip(group.positions, selections, strict=True)
    }
    return [merged[position] for position in sorted(merged)]
