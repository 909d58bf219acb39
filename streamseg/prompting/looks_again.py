"""Second looks at the targets that no proposal agrees with.

The network is asked for its best mask in the box of the propagated one, whatever its score; if that does not agree,
the propagated mask itself is the answer, corrected by the refiner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from streamseg.prompting.mask_frame import MaskFrame
from streamseg.prompting.propagated import PropagatedTarget
from streamseg.propagation import mask_iou
from streamseg.structures.arrays import Float32Array
from streamseg.structures.mask import CropMask
from streamseg.structures.second_look import Look

__all__ = ["SecondLooks"]

MAX_LOOKS: Final = 1
"""Maximum number of targets per frame that are looked at again, because each look takes two milliseconds; others have
the outlines of cells. They take turns."""
MIN_LEARNT_QUALITY: Final = 0.5
"""Minimum expected IoU of a mask found by a second look to be remembered."""
MIN_CORRECTED_IOU: Final = 0.5
"""Minimum IoU of a corrected mask with the propagated one: below it, the refiner has chosen something else."""


class SecondLooks:
    """Whose turn it is to be looked at again, among the targets of one source.

    Args:
        min_iou: minimum IoU of the network's mask with the propagated one to be the same object.
    """

    def __init__(self, min_iou: float) -> None:
        self._min_iou = min_iou
        self._num_waiting: dict[str, int] = {}
        """Number of frames for which each target in doubt has waited."""

    def answers(
        self, doubtful: Mapping[str, Float32Array], own_rows: Mapping[str, int], frame: MaskFrame
    ) -> dict[str, tuple[PropagatedTarget, Float32Array | None]]:
        """Return the answers of the targets that no proposal agrees with, and their labels if something else does.

        Args:
            doubtful: their propagated masks (H, W), 0..1, by prompt id; pass all of them, once per frame.
            own_rows: row of each with the target's own track id, if it overlaps the propagated mask enough; -1 if not.
            frame: the newest frame.
        """
        masks = {prompt_id: frame.image_mask(soft) for prompt_id, soft in doubtful.items()}
        chosen = self._in_turn([one for one, mask in masks.items() if mask.crop.size], frame)
        looks = frame.looks({one: doubtful[one] for one in chosen}, masks, min_iou=self._min_iou)
        answers = dict[str, tuple[PropagatedTarget, Float32Array | None]]()
        for prompt_id, soft in doubtful.items():
            mask, look = masks[prompt_id], looks.get(prompt_id)
            row, certainty = own_rows[prompt_id], frame.certainties[prompt_id]
            is_near = look is not None and mask_iou(look.mask, mask) >= MIN_CORRECTED_IOU
            if look is not None and is_near and look.is_found:
                answers[prompt_id] = _found(soft, look, certainty, frame)
            elif row >= 0:
                label = mean_label(soft, frame.proposals.coverage([row], frame.features.size))
                answers[prompt_id] = PropagatedTarget(row, None, certainty), label
            elif look is not None and is_near:
                answers[prompt_id] = _propagated(look.mask, frame.cell_shares(look.mask), certainty, look.quality), None
            else:
                answers[prompt_id] = _propagated(mask, frame.proposals.soft_coverage(soft), certainty, None), None
        return answers

    def _in_turn(self, prompt_ids: list[str], frame: MaskFrame) -> list[str]:
        """Return whose turn it is: those that have waited longest, and of them the least certain ones."""
        waiting = {one: self._num_waiting.get(one, 0) for one in prompt_ids}
        chosen = sorted(prompt_ids, key=lambda one: (-waiting[one], frame.certainties[one]))[:MAX_LOOKS]
        self._num_waiting = {one: 0 if one in chosen else waiting[one] + 1 for one in prompt_ids}
        return chosen


def mean_label(soft: Float32Array, shares: Float32Array) -> Float32Array:
    """Return the label of a target, (H, W), 0..1: the mean of its propagated mask and of one that agrees with it."""
    return (soft + shares) / np.float32(2)


def _found(
    soft: Float32Array, look: Look, certainty: float, frame: MaskFrame
) -> tuple[PropagatedTarget, Float32Array | None]:
    shares = frame.cell_shares(look.mask)
    answer = PropagatedTarget(-1, look.mask, certainty, look.quality, "proposal", shares)
    # It was searched for where the propagated mask is: that they agree says little about a stain.
    return answer, mean_label(soft, shares) if look.quality >= MIN_LEARNT_QUALITY else None


def _propagated(mask: CropMask, shares: Float32Array, certainty: float, quality: float | None) -> PropagatedTarget:
    return PropagatedTarget(-1, mask, certainty, quality, shares=shares)
