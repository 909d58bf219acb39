"""Replace the masks of matched objects by better ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from streamseg.pipeline.compose import Matches
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import MaskSource, MessageObject
from streamseg.structures.prompt import Selection
from streamseg.tiers import BetterMask

__all__ = ["with_better_masks"]


def with_better_masks(matches: Matches, better: Mapping[int, BetterMask], source: MaskSource) -> Matches:
    """Return the matches with some masks replaced; the quality of a mask becomes the score of its object.

    The box of such an object is that of its mask, because the mask may extend beyond the box of the instance.

    Args:
        matches: the matches of one frame.
        better: masks by position in `matches.objects`; none changes nothing.
        source: `mask_source` of the prompts whose best object gets a better mask.
    """
    if not better:
        return matches
    objects = tuple(
        _improved(one, better[position], matches.space) if position in better else one
        for position, one in enumerate(matches.objects)
    )
    qualities: dict[str, float | None] = {}
    for position, one in enumerate(matches.objects):
        for prompt_id in one.prompt_ids:
            # Objects come by descending score: the first one of a prompt is its best.
            qualities.setdefault(prompt_id, better[position].quality if position in better else None)
    selections = tuple(_rated(one, qualities.get(one.prompt_id), source) for one in matches.selections)
    return Matches(selections, tuple(sorted(objects, key=lambda one: -one.score)), matches.space)


def _improved(found: MessageObject, better: BetterMask, space: MaskSpace) -> MessageObject:
    """Return an object with another mask, in the mask space of the message."""
    is_full = space.size == space.image_size
    mask = replace(better.mask if is_full else CropMask.of(better.mask(space.size)), space=space)
    return replace(found, box=better.mask.crop_box, score=better.quality, mask=mask, area=mask.area)


def _rated(selection: Selection, quality: float | None, source: MaskSource) -> Selection:
    if quality is None or selection.status is None:
        return selection
    return replace(selection, status=replace(selection.status, mask_quality=quality, mask_source=source))
