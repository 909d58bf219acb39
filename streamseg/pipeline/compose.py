"""What is in a frame for those who asked: selections to objects with pixels.

default_answers     the masks of the chosen rows alone
reference_answers   the official FastSAM program's: all masks, then a choice among their pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from streamseg.fastsam.reference_masks import native_masks, plain_masks, plain_size
from streamseg.fastsam.reference_selection import select_reference
from streamseg.prompting import status_of
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.message import CropMask, MaskSpace, MessageObject
from streamseg.structures.prompt import EverythingPrompt, Prompt, Selection, TextPrompt
from streamseg.telemetry import StageTimer

__all__ = ["Answers", "default_answers", "reference_answers"]


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to all prompts about one frame."""

    selections: tuple[Selection, ...]
    """One for each prompt that was asked of the source, in the prompts' order."""
    objects: tuple[MessageObject, ...]
    """What answers at least one prompt, by descending score."""
    mask_size: tuple[int, int]
    """(H, W) of the mask space."""
    mask_to_image: tuple[float, float, float, float]
    """(scale_x, scale_y, offset_x, offset_y) from the mask space to the source image."""


def default_answers(
    tracked: Tracked,
    selections: Sequence[Selection],
    *,
    mask_size: tuple[int, int],
    timer: StageTimer,
    labels: Mapping[str, str] | None = None,
) -> Answers:
    """Ours: pixels only for those instances that were chosen.

    Args:
        tracked: K instances; 0 answers nothing.
        selections: what answers the prompts.
        mask_size: (H, W) of the masks.
        timer: takes the stage `masks`.
        labels: what an object is called, by the id of the prompt that it answers; of several, that of the prompt
            that it answers best.
    """
    instances = tracked.instances
    height, width = instances.image_size
    space = MaskSpace(mask_size, instances.image_size, (width / mask_size[1], height / mask_size[0], 0.0, 0.0))
    with timer.stage("masks"):
        masks_of = partial(instance_masks, instances, size=mask_size)
        objects = _objects(tracked, selections, masks_of, space, labels)
    return Answers(tuple(selections), objects, space.size, space.to_image)


def reference_answers(
    tracked: Tracked,
    prompts: Sequence[Prompt],
    *,
    texts: Sequence[Selection] = (),
    labels: Mapping[str, str] | None = None,
    retina_masks: bool = True,
    timer: StageTimer,
) -> Answers:
    """The official FastSAM program's, fault for fault where somebody may depend on it.

    Reproduced: its masks, retina or plain; points painted into one merged mask, whose order of masks and
    points decides; the best mask of a box, however bad. Its rule for objects that fill the picture is
    `as_reference`, which the instances must have gone through.

    Not reproduced: detections lost when its suppression runs out of time; the rule for full pictures in the
    first picture of a batch alone; None where it raises (nothing found, two objects that fill the picture,
    points outside); colours that change from frame to frame.

    Args:
        tracked: K instances; 0 answers nothing.
        prompts: P of them. Several boxes that have the same best mask are one object.
        texts: the answers to those of them that are texts, in their order.
        labels: as in `default_answers`.
        retina_masks: False: masks at the size of the network's input, padding included, over which the
            prompts are stretched as there, without regard to the padding.
        timer: takes the stages `select` and `masks`.

    Returns:
        Answers in which a merged mask is an object of its own, with `track_id` -1 (nothing follows it), the
        box around its pixels and the best score of the instances on it.
    """
    instances = tracked.instances
    size, to_image = instances.image_size, (1.0, 1.0, 0.0, 0.0)
    with timer.stage("masks"):
        if retina_masks or not len(instances):
            masks = native_masks(instances)
        else:
            masks, size = plain_masks(instances), plain_size(instances)
            cells_x = instances.mask_logits.shape[2] / size[1]
            cells_y = instances.mask_logits.shape[1] / size[0]
            place = instances.grid_to_image
            to_image = (place.scale_x * cells_x, place.scale_y * cells_y, place.offset_x, place.offset_y)
    with timer.stage("select"):
        placed = [prompt for prompt in prompts if not isinstance(prompt, TextPrompt)]
        scores, track_ids = instances.scores.tolist(), tracked.track_ids.tolist()
        answered = iter(select_reference(masks, scores, placed, mask_size=size, image_size=instances.image_size))
        spoken = iter(texts)
        selections = tuple(
            next(spoken)
            if isinstance(prompt, TextPrompt)
            else next(answered)
            if isinstance(prompt, EverythingPrompt)
            else status_of(next(answered), track_ids)
            for prompt in prompts
        )
    space = MaskSpace(size, instances.image_size, to_image)
    objects = [*_objects(tracked, selections, lambda rows: [masks[row] for row in rows], space, labels)]
    objects += _merged_objects(selections, space)
    return Answers(selections, tuple(sorted(objects, key=lambda one: -one.score)), size, to_image)


def _objects(
    tracked: Tracked,
    selections: Sequence[Selection],
    masks_of: Callable[[list[int]], Sequence[CropMask]],
    space: MaskSpace,
    labels: Mapping[str, str] | None = None,
) -> tuple[MessageObject, ...]:
    """The rows that answer at least one prompt, by descending score; only these get pixels."""
    prompt_ids: dict[int, list[str]] = {}
    names: dict[int, tuple[float, str]] = {}
    for selection in selections:
        if selection.mask is not None:
            continue
        label = labels.get(selection.prompt_id) if labels else None
        for row, score in zip(selection.rows, selection.scores, strict=True):
            prompt_ids.setdefault(row, []).append(selection.prompt_id)
            if label is not None and (row not in names or score > names[row][0]):
                names[row] = (score, label)
    rows = sorted(prompt_ids)
    if not rows:
        return ()
    instances = tracked.instances
    masks = masks_of(rows)
    boxes, scores = instances.boxes[rows].tolist(), instances.scores[rows].tolist()
    track_ids = tracked.track_ids[rows].tolist()
    return tuple(
        MessageObject(
            track_id=track_id,
            prompt_ids=tuple(prompt_ids[row]),
            box=(box[0], box[1], box[2], box[3]),
            score=score,
            mask=replace(mask, space=space),
            area=mask.area,
            label=names[row][1] if row in names else None,
        )
        for row, track_id, box, score, mask in zip(rows, track_ids, boxes, scores, masks, strict=True)
    )


def _merged_objects(selections: Sequence[Selection], space: MaskSpace) -> Iterator[MessageObject]:
    scale_x, scale_y, offset_x, offset_y = space.to_image
    for selection in selections:
        if (mask := selection.mask) is not None:
            height, width = mask.crop.shape
            x0, y0 = mask.x * scale_x + offset_x, mask.y * scale_y + offset_y
            yield MessageObject(
                track_id=TENTATIVE,
                prompt_ids=(selection.prompt_id,),
                box=(x0, y0, x0 + width * scale_x, y0 + height * scale_y),
                score=max(selection.scores),
                mask=replace(mask, space=space),
                area=mask.area,
            )
