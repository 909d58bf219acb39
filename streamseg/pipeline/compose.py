"""Compose the published message from selections: pixels for the matched objects, and the frame's header."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from streamseg.drawing import draw_message
from streamseg.drawing.effect_book import EffectImage
from streamseg.pipeline.fitted_masks import fitted_masks
from streamseg.prompting import PromptSet
from streamseg.prompting.prompt_set import in_order
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import Message, MessageObject
from streamseg.structures.prompt import Prompt, Selection
from streamseg.telemetry import Drops, StageTimer

__all__ = ["FrameResult", "Matches", "PromptMatcher", "SelectionMatcher", "compose_message", "selected_objects"]


class Matches(NamedTuple):
    """The matches of all prompts in one frame."""

    selections: tuple[Selection, ...]
    """One for each prompt of the source, in the prompts' order."""
    objects: tuple[MessageObject, ...]
    """The objects that match at least one prompt, by descending score."""
    space: MaskSpace
    """The space of the objects' masks."""


class PromptMatcher(Protocol):
    """How the prompts of a frame are matched and which masks their objects get; stateless, shared by all sources."""

    def check(self, prompts: PromptSet) -> None:
        """Raise ConfigError for a prompt of a kind that cannot be matched."""

    def match(
        self,
        tracked: Tracked,
        prompts: PromptSet,
        *,
        select: Callable[[], list[Selection]],
        texts: Sequence[Selection],
        timer: StageTimer,
    ) -> Matches:
        """Match the prompts of one frame.

        Args:
            tracked: K instances; 0 match nothing.
            prompts: the prompts of the source.
            select: selects the instances for all prompts but texts, in order, following their targets over time.
                Optional to call; once per frame at most.
            texts: the selections of the texts, in order.
            timer: measures the stages `select` and `masks`.
        """


@dataclass(frozen=True)
class SelectionMatcher:
    """streamseg's own matching: prompts follow their targets, and only the selected instances get pixels."""

    mask_scale: float = 1.0
    """Size of the masks relative to the source image, 0..1."""

    def check(self, prompts: PromptSet) -> None:
        """Accept every kind of prompt."""

    def match(
        self,
        tracked: Tracked,
        prompts: PromptSet,
        *,
        select: Callable[[], list[Selection]],
        texts: Sequence[Selection],
        timer: StageTimer,
    ) -> Matches:
        """Match as described in `PromptMatcher`."""
        with timer.stage("select"):
            selections = in_order((prompts.textless, select()), (prompts.texts, texts))
        height, width = tracked.instances.image_size
        size = max(round(height * self.mask_scale), 1), max(round(width * self.mask_scale), 1)
        space = MaskSpace(size, (height, width), (width / size[1], height / size[0], 0.0, 0.0))
        with timer.stage("masks"):
            shown, masks_of = fitted_masks(tracked, selections, size)
            objects = selected_objects(shown, selections, masks_of, space, prompts.labels)
            objects = _by_score(objects + _propagated_objects(selections, space))
        return Matches(tuple(selections), objects, space)


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Everything known about one frame in the end."""

    frame: Frame
    message: Message
    """The published message: the objects that match a prompt."""
    tracked: Tracked
    """Every instance of the frame, selected or not."""
    selections: tuple[Selection, ...]
    """One for each prompt of the frame's source, in the prompts' order; their rows are rows of `tracked`."""
    prompts: tuple[Prompt, ...] = ()
    """The prompts of the frame's source that were in force."""
    effect: EffectImage | None = None
    """The frame's image with the configured effect; None if there is no effect."""

    @property
    def shown_image(self) -> ImageArray:
        """Image for people, without overlays: with the effect, if there is one. Not to be modified."""
        return self.frame.image if self.effect is None else self.effect()

    def drawn_image(self) -> ImageArray:
        """Return the image for outputs that display nothing else; not to be modified.

        With the effect or, if there is none, with the overlay of the published objects.
        """
        return draw_message(self.frame.image, self.message) if self.effect is None else self.effect()


def compose_message(
    frame: Frame, matches: Matches, *, now_ns: int, frame_id: str = "", drops: Drops | None = None
) -> Message:
    """Compose the message of a frame.

    Args:
        frame: the frame.
        matches: the matches of the prompts in it.
        now_ns: monotonic clock, from which the age of the frame is computed.
        frame_id: name of its coordinate frame; "" for none.
        drops: frames dropped so far, reported to subscribers.
    """
    return Message(
        source_id=frame.source_id,
        frame_index=frame.index,
        captured_ns=frame.captured_ns,
        clock=frame.clock,
        age_ms=frame.age_ns(now_ns) / 1e6,
        image_size=frame.size,
        mask_size=matches.space.size,
        mask_to_image=matches.space.to_image,
        objects=matches.objects,
        pts_seconds=frame.pts_seconds,
        frame_id=frame_id,
        prompts=tuple(one.status for one in matches.selections if one.status is not None),
        drops=drops if drops is not None else {},
        degradation=frame.degradation,
    )


def _propagated_objects(selections: Sequence[Selection], space: MaskSpace) -> tuple[MessageObject, ...]:
    """Return the selections with a propagated mask as objects, whose scores are the expected IoU of their masks.

    Args:
        selections: the matches.
        space: the space of the objects' masks.
    """
    objects = []
    for selection in selections:
        mask, status = selection.mask, selection.status
        if mask is None or status is None:
            continue
        scaled = replace(mask if space.size == space.image_size else CropMask.of(mask(space.size)), space=space)
        objects.append(
            MessageObject(
                track_id=status.track_id,
                prompt_ids=(selection.prompt_id,),
                box=mask.crop_box,
                score=status.mask_quality if status.mask_quality is not None else status.confidence,
                mask=scaled,
                area=scaled.area,
            )
        )
    return tuple(objects)


def _by_score(objects: tuple[MessageObject, ...]) -> tuple[MessageObject, ...]:
    return tuple(sorted(objects, key=lambda one: -one.score))


def selected_objects(
    tracked: Tracked,
    selections: Sequence[Selection],
    masks_of: Callable[[list[int]], Sequence[CropMask]],
    space: MaskSpace,
    labels: Mapping[str, str],
) -> tuple[MessageObject, ...]:
    """Return the rows that match at least one prompt as objects, by descending score; only these get pixels.

    Args:
        tracked: K instances.
        selections: the matches; those with a mask of their own are skipped.
        masks_of: makes the masks of some rows.
        space: the space of these masks.
        labels: the label of an object by the id of the prompt that it matches; of several, the best match's.
    """
    prompt_ids: dict[int, list[str]] = {}
    names: dict[int, tuple[float, str]] = {}
    for selection in selections:
        if selection.mask is not None:
            continue
        label = labels.get(selection.prompt_id)
        for row, score in zip(selection.rows, selection.scores, strict=True):
            prompt_ids.setdefault(row, []).append(selection.prompt_id)
            if label is not None and (row not in names or score > names[row][0]):
                names[row] = (score, label)
    rows = sorted(prompt_ids)
    if not rows:
        return ()
    instances = tracked.instances
    masks = masks_of(rows)
    # Lists of all rows: selecting a few numbers takes torch longer than converting all of them.
    boxes, scores, track_ids = instances.boxes.tolist(), instances.scores.tolist(), tracked.track_ids.tolist()
    return tuple(
        MessageObject(
            track_id=track_ids[row],
            prompt_ids=tuple(prompt_ids[row]),
            box=(boxes[row][0], boxes[row][1], boxes[row][2], boxes[row][3]),
            score=scores[row],
            mask=mask if mask.space == space else replace(mask, space=space),
            area=mask.area,
            label=names[row][1] if row in names else None,
        )
        for row, mask in zip(rows, masks, strict=True)
    )
