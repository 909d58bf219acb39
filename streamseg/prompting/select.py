"""One answer per prompt."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.errors import DataError
from streamseg.prompting.boxes import select_boxes
from streamseg.prompting.masks import select_masks
from streamseg.prompting.points import select_points
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    Selection,
    TextPrompt,
)

__all__ = ["candidates", "nested", "select"]


def select(tracked: Tracked, prompts: Sequence[Prompt]) -> list[Selection]:
    """Choose among the instances of a frame.

    Args:
        tracked: K instances; 0 answers nothing.
        prompts: P of them; several may choose the same instance.

    Returns:
        One Selection per prompt, in the prompts' order. Point, box and mask prompts have one row or none;
        everything has all rows, in their order.

    Raises:
        DataError: a prompt is a text, which masks alone cannot answer.
    """
    return _answers(tracked.instances, prompts, nested=False)


def candidates(tracked: Tracked, prompt: Prompt) -> Selection:
    """All instances that could be meant: of points from small to large (part to whole), of others best first."""
    return nested(tracked, [prompt])[0]


def nested(tracked: Tracked, prompts: Sequence[Prompt]) -> list[Selection]:
    """The candidates of each prompt, in the prompts' order."""
    return _answers(tracked.instances, prompts, nested=True)


def _answers(instances: Instances, prompts: Sequence[Prompt], *, nested: bool) -> list[Selection]:
    # All prompts of a kind at once: their cost is one pass over the instances, not one each.
    points = iter(select_points(instances, [one for one in prompts if isinstance(one, PointPrompt)], nested=nested))
    boxes = iter(select_boxes(instances, [one for one in prompts if isinstance(one, BoxPrompt)], nested=nested))
    masks = iter(select_masks(instances, [one for one in prompts if isinstance(one, MaskPrompt)], nested=nested))
    selections = []
    for prompt in prompts:
        if isinstance(prompt, EverythingPrompt):
            scores = tuple(instances.scores.tolist())
            selections.append(Selection(prompt.prompt_id, tuple(range(len(scores))), scores))
        elif isinstance(prompt, TextPrompt):
            raise DataError(f"prompt {prompt.prompt_id!r} is a text; only what knows words can answer it")
        else:
            kind = points if isinstance(prompt, PointPrompt) else boxes if isinstance(prompt, BoxPrompt) else masks
            selections.append(next(kind))
    return selections
