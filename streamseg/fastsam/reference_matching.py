"""FastSAM's own way to match prompts: all masks first, then a choice among their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from streamseg.errors import ConfigError
from streamseg.fastsam.reference_masks import native_masks, plain_masks, plain_size
from streamseg.fastsam.reference_selection import select_reference
from streamseg.pipeline.compose import Matches, selected_objects
from streamseg.prompting import PromptSet
from streamseg.prompting.prompt_set import in_order
from streamseg.prompting.select import with_status
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.message import MaskSpace, MessageObject
from streamseg.structures.prompt import Selection
from streamseg.telemetry import StageTimer

__all__ = ["ReferenceMatcher"]


@dataclass(frozen=True)
class ReferenceMatcher:
    """Matches prompts as the official FastSAM program does, fault for fault if somebody may depend on it.

    Reproduced: its masks, retina or plain; points painted into one merged mask, which depends on the order of masks
    and points; the best mask of a box, however bad. Its rule for objects that fill the image is `as_reference`, which
    the instances must have gone through (see `ReferenceSegmenter`).

    Not reproduced: detections lost when its suppression runs out of time; the rule for full images in the first image
    of a batch alone; None where it raises (no object, two objects that fill the image, points outside); colours that
    change from frame to frame.
    """

    retina_masks: bool = True
    """False: masks at the size of the network's input, padding included, over which the prompts are stretched as
    there, without regard to the padding."""

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
