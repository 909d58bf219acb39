"""One answer per prompt."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.prompting.boxes import select_boxes
from streamseg.prompting.points import select_points
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, Selection

__all__ = ["candidates", "select"]


def select(tracked: Tracked, prompts: Sequence[Prompt]) -> list[Selection]:
    """Choose among the instances of a frame.

    Args:
        tracked: K instances; 0 answers nothing.
        prompts: P of them; several may choose the same instance.

    Returns:
        One Selection per prompt, in the prompts' order. Point and box prompts have one row or none;
        everything has all rows, in their order.
    """
    return _answers(tracked.instances, prompts, nested=False)


def candidates(tracked: Tracked, prompt: Prompt) -> Selection:
    """All instances that could be meant: of points from small to large (part to whole), of a box best first."""
    return _answers(tracked.instances, [prompt], nested=True)[0]


def _answers(instances: Instances, prompts: Sequence[Prompt], *, nested: bool) -> list[Selection]:
    # All prompts of a kind at once: their cost is one pass over the instances, not one each.
    points = iter(select_points(instances, [one for one in prompts if isinstance(one, PointPrompt)], nested=nested))
    boxes = iter(select_boxes(instances, [one for one in prompts if isinstance(one, BoxPrompt)], nested=nested))
    selections = []
    for prompt in prompts:
        if isinstance(prompt, EverythingPrompt):
            scores = tuple(instances.scores.tolist())
            selections.append(Selection(prompt.prompt_id, tuple(range(len(scores))), scores))
        else:
            selections.append(next(points if isinstance(prompt, PointPrompt) else boxes))
    return selections
