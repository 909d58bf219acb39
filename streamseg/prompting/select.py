"""Select the instances that match each prompt, in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streamseg.errors import DataError
from streamseg.prompting.overlap import select_boxes, select_masks
from streamseg.prompting.points import select_points
from streamseg.prompting.prompt_set import PromptSet, in_order
from streamseg.structures.instances import TENTATIVE, Instances, Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Prompt, Selection

__all__ = ["all_hypotheses", "hypotheses", "select", "select_with_status", "with_status"]


def select(tracked: Tracked, prompts: PromptSet | Sequence[Prompt]) -> list[Selection]:
    """Select the best instance for each prompt.

    Args:
        tracked: K instances; 0 match nothing.
        prompts: P prompts; several may match the same instance.

    Returns:
        One Selection per prompt, in the prompts' order. Point, box and mask prompts have one row or none;
        everything has all rows, in their order.

    Raises:
        DataError: a prompt is a text, which masks alone cannot be matched with.
    """
    return _select(tracked.instances, prompts, nested=False)


def hypotheses(tracked: Tracked, prompt: Prompt) -> Selection:
    """Select all instances that a prompt could mean: for points from part to whole, else best first."""
    return all_hypotheses(tracked, [prompt])[0]


def all_hypotheses(tracked: Tracked, prompts: PromptSet | Sequence[Prompt]) -> list[Selection]:
    """Select the hypotheses of each prompt, in the prompts' order."""
    return _select(tracked.instances, prompts, nested=True)


def select_with_status(tracked: Tracked, prompts: PromptSet) -> list[Selection]:
    """Select as `select` does and add a status to each selection, except for everything."""
    everything = set(prompts.everything.positions)
    track_ids = tracked.track_ids.tolist()
    return [
        selection if position in everything else with_status(selection, track_ids)
        for position, selection in enumerate(select(tracked, prompts))
    ]


def with_status(selection: Selection, track_ids: Sequence[int]) -> Selection:
    """Add the status of a prompt that is evaluated in each frame anew; its confidence is its best score.

    Args:
        selection: the match in this frame.
        track_ids: (K,) of the frame's instances.
    """
    if not selection.rows:
        return replace(selection, status=PromptStatus(selection.prompt_id, "none"))
    # A mask merged from several objects has no track id.
    track_id = track_ids[selection.rows[0]] if selection.mask is None else TENTATIVE
    confidence = min(max(max(selection.scores), 0.0), 1.0)
    return replace(selection, status=PromptStatus(selection.prompt_id, "bound", confidence, track_id))


def _select(instances: Instances, prompts: PromptSet | Sequence[Prompt], *, nested: bool) -> list[Selection]:
    given = prompts if isinstance(prompts, PromptSet) else PromptSet.of(prompts)
    if given.texts.prompts:
        raise DataError(
            f"prompt {given.texts.prompts[0].prompt_id!r} is a text, which masks alone cannot match; use a text matcher"
        )
    scores = tuple(instances.scores.tolist()) if given.everything.prompts else ()
    everything = [Selection(one.prompt_id, tuple(range(len(scores))), scores) for one in given.everything.prompts]
    # Positions count within the given prompts, also if they were taken from a larger set.
    return in_order(
        (given.everything, everything),
        # All prompts of a kind at once: their cost is one pass over the instances, not one each.
        (given.points, select_points(instances, given.points.prompts, nested=nested)),
        (given.boxes, select_boxes(instances, given.boxes.prompts, nested=nested)),
        (given.masks, select_masks(instances, given.masks.prompts, nested=nested)),
    )
