"""FastSAM's prompt matching in a pipeline: make all masks first, then select among their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamseg.errors import ConfigError, DataError
from streamseg.fastsam.reference_masks import native_masks, plain_masks, plain_size
from streamseg.fastsam.reference_selection import box_ious, paint, painting_order
from streamseg.pipeline.compose import Matches, selected_objects
from streamseg.prompting import PromptSet
from streamseg.prompting.prompt_set import in_order
from streamseg.prompting.select import with_status
from streamseg.structures.arrays import Float32Array
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import MessageObject
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, Selection, TextPrompt
from streamseg.telemetry import StageTimer

__all__ = ["ReferenceMatcher", "select_reference"]


@dataclass(frozen=True)
class ReferenceMatcher:
    """Matches prompts as the official FastSAM program does, including its peculiarities.

    Reproduced: its masks, retina or plain; points painted into one merged mask, which depends on the order of masks
    and points; the best mask for a box, however poor the match. Its rule for objects that fill the image is
    `as_reference`, which must have been applied to the instances (see `ReferenceSegmenter`).

    Not reproduced: detections lost when its suppression runs out of time; the rule for objects that fill the image
    applied to the first image of a batch only; None when it raises (no object, two objects that fill the image, points
    outside the image); colours that change from frame to frame.
    """

    retina_masks: bool = True
    """False: masks at the size of the network's input, padding included, over which the prompts are stretched
    without regard to the padding, as in the official program."""

    def check(self, prompts: PromptSet) -> None:
        """Raise ConfigError for a mask, which the official program does not accept."""
        if prompts.masks.prompts:
            raise ConfigError(
                f"prompt {prompts.masks.prompts[0].prompt_id!r} is a mask, which FastSAM mode does not accept; use"
                " points or a box, or set mode to streamseg"
            )

    def match(
        self,
        tracked: Tracked,
        prompts: PromptSet,
        *,
        select: Callable[[], list[Selection]],
        texts: Sequence[Selection],
        timer: StageTimer,
    ) -> Matches:
        """Match as described in `pipeline.compose.PromptMatcher`; `select` is not used.

        Returns:
            Matches in which a merged mask is an object of its own, with `track_id` -1 (it is not tracked), the box
            around its pixels and the best score of its instances. Several boxes with the same best mask are one
            object.
        """
        instances = tracked.instances
        size, to_image = instances.image_size, (1.0, 1.0, 0.0, 0.0)
        with timer.stage("masks"):
            if self.retina_masks or not len(instances):
                masks = native_masks(instances)
            else:
                masks, size = plain_masks(instances), plain_size(instances)
                cells_x = instances.mask_logits.shape[2] / size[1]
                cells_y = instances.mask_logits.shape[1] / size[0]
                place = instances.grid_to_image
                to_image = (place.scale_x * cells_x, place.scale_y * cells_y, place.offset_x, place.offset_y)
        with timer.stage("select"):
            scores, track_ids = instances.scores.tolist(), tracked.track_ids.tolist()
            given = prompts.textless
            selected = select_reference(masks, scores, given, mask_size=size, image_size=instances.image_size)
            everything = set(given.everything.positions)
            standing = [
                selection if position in everything else with_status(selection, track_ids)
                for position, selection in enumerate(selected)
            ]
            selections = in_order((given, standing), (prompts.texts, texts))
        space = MaskSpace(size, instances.image_size, to_image)
        objects = [
            *selected_objects(tracked, selections, lambda rows: [masks[row] for row in rows], space, prompts.labels),
            *_merged_objects(selections, space),
        ]
        return Matches(tuple(selections), tuple(sorted(objects, key=lambda one: -one.score)), space)


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


def select_reference(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    prompts: PromptSet,
    *,
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> list[Selection]:
    """Select among finished masks as the official FastSAM program does.

    Args:
        masks: K masks, made by the official program's rules; 0 masks match nothing.
        scores: scores of the instances, one per mask.
        prompts: the prompts.
        mask_size: (H, W) of the masks.
        image_size: (H, W) that the prompts refer to.

    Returns:
        One Selection per prompt, in the prompts' order. A point prompt has one merged mask and the rows that remain
        on it, large to small; no rows and no mask if the canvas stays empty. A box prompt has one row, however poor
        the match, with the IoU as its score.

    Raises:
        DataError: a prompt is a mask or a text, which the official program does not accept.
    """
    unsupported: tuple[MaskPrompt | TextPrompt, ...] = (*prompts.masks.prompts, *prompts.texts.prompts)
    if unsupported:
        raise DataError(f"prompt {unsupported[0].prompt_id!r}: FastSAM mode matches points, boxes and everything only")
    every = tuple(range(len(masks)))
    ious = _box_ious(masks, [prompt.box for prompt in prompts.boxes.prompts], mask_size, image_size)
    return in_order(
        (prompts.everything, [Selection(one.prompt_id, every, tuple(scores)) for one in prompts.everything.prompts]),
        (prompts.points, [_merged(masks, scores, one, mask_size, image_size) for one in prompts.points.prompts]),
        (prompts.boxes, [_best_row(one, iou) for one, iou in zip(prompts.boxes.prompts, ious, strict=True)]),
    )


def _best_row(prompt: BoxPrompt, ious: Float32Array) -> Selection:
    """Select the row with the highest IoU (K,); none if there is no mask."""
    if not len(ious):
        return Selection(prompt.prompt_id, (), ())
    row = int(np.argmax(ious))
    return Selection(prompt.prompt_id, (row,), (float(np.nan_to_num(ious[row])),))


def _box_ious(
    masks: Sequence[CropMask],
    boxes: Sequence[tuple[float, float, float, float]],
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> Float32Array:
    """Return the IoU (B, K). Process one full-size mask at a time, because all of them need much memory."""
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
    """Paint the masks that contain a point into one mask, cropped to its tight box."""
    points = prompt.point_coords, prompt.point_labels
    # Only masks that contain a point matter; all masks at full size need much memory.
    touched = [
        row
        for row, mask in enumerate(masks)
        if painting_order(mask.full(mask_size)[None], *points, image_size=image_size)
    ]
    if not touched:
        return Selection(prompt.prompt_id, (), ())
    pixels = np.stack([masks[row].full(mask_size) for row in touched])
    order = painting_order(pixels, *points, image_size=image_size)
    canvas = paint(pixels, order)
    rows = tuple(touched[row] for row, paints in order if paints and (canvas & pixels[row]).any())
    if not rows:
        return Selection(prompt.prompt_id, (), ())
    across, down = np.flatnonzero(canvas.any(axis=0)), np.flatnonzero(canvas.any(axis=1))
    crop = canvas[down[0] : down[-1] + 1, across[0] : across[-1] + 1].copy()
    merged = CropMask(crop, int(across[0]), int(down[0]))
    return Selection(prompt.prompt_id, rows, tuple(scores[row] for row in rows), merged)
