"""One answer per prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.prompting.boxes import select_boxes
from streamseg.prompting.masks import select_masks
from streamseg.prompting.points import select_points
from streamseg.prompting.reference import box_ious, paint, painting_order
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    Selection,
    TextPrompt,
)

__all__ = ["candidates", "nested", "select", "select_reference"]


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


def select_reference(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    prompts: Sequence[Prompt],
    *,
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> list[Selection]:
    """Choose among finished masks as the official FastSAM program does: see `prompting.reference`.

    Args:
        masks: K of them, as the reference makes them; 0 answers nothing.
        scores: of the instances, one per mask.
        prompts: P of them.
        mask_size: (H, W) that the masks are in.
        image_size: (H, W) that the prompts are meant for.

    Returns:
        One Selection per prompt, in the prompts' order. A point prompt has one merged mask, and the rows
        that are left on it, large to small; nothing at all where the canvas stays empty. A box prompt has
        one row, however badly it fits, with the IoU as its score.

    Raises:
        DataError: a prompt is a mask or a text, which the official program does not take.
    """
    boxes = [prompt.box for prompt in prompts if isinstance(prompt, BoxPrompt)]
    ious = iter(_box_ious(masks, boxes, mask_size, image_size))
    selections = []
    for prompt in prompts:
        if isinstance(prompt, EverythingPrompt):
            selections.append(Selection(prompt.prompt_id, tuple(range(len(masks))), tuple(scores)))
        elif isinstance(prompt, PointPrompt):
            selections.append(_merged(masks, scores, prompt, mask_size, image_size))
        elif not isinstance(prompt, BoxPrompt):
            raise DataError(f"prompt {prompt.prompt_id!r}: reference prompting answers points, boxes and everything")
        elif not masks:
            selections.append(Selection(prompt.prompt_id, (), ()))
        else:
            iou = next(ious)
            row = int(np.argmax(iou))
            selections.append(Selection(prompt.prompt_id, (row,), (float(np.nan_to_num(iou[row])),)))
    return selections


def _box_ious(
    masks: Sequence[CropMask],
    boxes: Sequence[tuple[float, float, float, float]],
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """IoU (B, K); one mask at full size at a time, as all of them are a lot of memory."""
    if not masks or not boxes:
        return np.zeros((len(boxes), len(masks)), dtype=np.float32)
    return np.concatenate(
        [box_ious(mask.full(mask_size)[None], boxes, image_size=image_size) for mask in masks], axis=1
    )


def _merged(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    prompt: PointPrompt,
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> Selection:
    points = prompt.point_coords, prompt.point_labels
    # Only what holds a point takes part; all masks at full size are a lot of memory.
    held = [
        row
        for row, mask in enumerate(masks)
        if painting_order(mask.full(mask_size)[None], *points, image_size=image_size)
    ]
    if not held:
        return Selection(prompt.prompt_id, (), ())
    pixels = np.stack([masks[row].full(mask_size) for row in held])
    order = painting_order(pixels, *points, image_size=image_size)
    canvas = paint(pixels, order)
    rows = tuple(held[row] for row, paints in order if paints and (canvas & pixels[row]).any())
    if not rows:
        return Selection(prompt.prompt_id, (), ())
    across, down = np.flatnonzero(canvas.any(axis=0)), np.flatnonzero(canvas.any(axis=1))
    crop = canvas[down[0] : down[-1] + 1, across[0] : across[-1] + 1].copy()
    merged = CropMask(crop, int(across[0]), int(down[0]))
    return Selection(prompt.prompt_id, rows, tuple(scores[row] for row in rows), merged)


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
