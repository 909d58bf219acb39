"""Follow targets by the propagation of their masks, a second source beside the proposals of the network.

A proposal that agrees with the propagated mask is selected, because its outline is sharp; if none does, the propagated
mask itself is selected. The memory is written only if both agree, so that a wrong proposal, or a mask that has leaked,
cannot teach itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.prompting.target import Target
from streamseg.propagation import LabelPropagator, PropagationSettings, Proposals, group_in_box, image_mask
from streamseg.structures.arrays import Float32Array
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, Selection

__all__ = ["MaskFollower", "PropagatedTarget", "propagated_selection"]

PROPAGATED_CONFIDENCE: Final = 0.7
"""Confidence factor of a propagated mask that no proposal confirms."""
PROPAGATED_QUALITY: Final = 0.6
"""Expected IoU of such a mask relative to its certainty. Both are cautious: the outlines are those of cells."""


@dataclass(frozen=True, eq=False)
class PropagatedTarget:
    """A target that propagation sees in the newest frame."""

    row: int
    """Row of the proposal that agrees; -1 if none does."""
    mask: CropMask | None
    """The propagated mask at the size of the image; None if a proposal agrees."""
    certainty: float
    """Mean margin of the target over other targets in its cells, 0..1."""


@dataclass(frozen=True, eq=False)
class _Known:
    """A target in the memory."""

    target: Target
    step: int
    """The `step` of its prompt."""
    is_group: bool
    """Whether it consists of several objects; its track is that of one of them."""


class MaskFollower:
    """The propagated masks of the targets of one source.

    Without features of the images, and without targets, it does nothing.

    Args:
        settings: settings of the propagation.
    """

    def __init__(self, settings: PropagationSettings | None = None) -> None:
        self._settings = settings if settings is not None else PropagationSettings()
        self._propagator = LabelPropagator(self._settings)
        self._known: dict[str, _Known] = {}
        """The targets in the memory by prompt id."""

    def update(
        self, targets: Mapping[str, Target], rows: Mapping[str, int], tracked: Tracked
    ) -> dict[str, PropagatedTarget]:
        """Return the targets that propagation sees in the newest frame.

        Args:
            targets: targets by prompt id. A target that is seen under another track id continues with that one.
            rows: row of each target according to its track; -1 if it is not visible.
            tracked: the objects of the frame; K may be 0.
        """
        self._forget(targets)
        source = tracked.instances.features
        if source is None or not (self._known or any(_may_start(one, rows[key]) for key, one in targets.items())):
            return {}
        features, proposals = source(), Proposals(tracked.instances.to("cpu"))
        found = self._propagator.propagate(features)
        certainties = _certainties(found)
        track_ids = tracked.track_ids.tolist()
        answers, learnt = {}, {}
        for prompt_id, target in targets.items():
            soft, row = found.get(prompt_id), rows[prompt_id]
            if soft is None:
                members = self._members(prompt_id, target, row, proposals)
                if members:
                    learnt[prompt_id] = proposals.coverage(members, features.size)
                    is_group = len(members) > 1
                    self._known[prompt_id] = _Known(target, target.prompt.step, is_group)
                if len(members) > 1:
                    mask = image_mask(learnt[prompt_id], features.to_image, tracked.instances.image_size)
                    answers[prompt_id] = PropagatedTarget(-1, mask, 1.0)
                continue
            own_row = row if target.whole_id == TENTATIVE else -1
            agreeing = self._agreeing(soft, own_row, proposals, is_group=self._known[prompt_id].is_group)
            if agreeing >= 0:
                learnt[prompt_id] = (soft + proposals.coverage([agreeing], features.size)) / np.float32(2)
                answers[prompt_id] = PropagatedTarget(agreeing, None, certainties[prompt_id])
                _continue_track(target, row, agreeing, track_ids)
            else:
                mask = image_mask(soft, features.to_image, tracked.instances.image_size)
                answers[prompt_id] = PropagatedTarget(-1, mask, certainties[prompt_id])
        self._propagator.learn(features, learnt)
        return answers

    def _forget(self, targets: Mapping[str, Target]) -> None:
        """Forget the targets that are not followed any more, and those whose prompts mean something else now."""
        self._known = {
            prompt_id: known
            for prompt_id, known in self._known.items()
            if targets.get(prompt_id) is known.target and known.target.prompt.step == known.step
        }
        self._propagator.retain(self._known)

    def _agreeing(self, soft: Float32Array, row: int, proposals: Proposals, *, is_group: bool) -> int:
        """Return the row that agrees with a propagated mask, -1 if none does; `row` is that of the target's track."""
        best, iou = proposals.best(soft)
        if is_group:
            return best if iou >= self._settings.group_agreement_iou else -1
        if iou >= self._settings.agreement_iou:
            return best
        return row if row >= 0 and proposals.iou(row, soft) >= self._settings.own_agreement_iou else -1

    def _members(self, prompt_id: str, target: Target, row: int, proposals: Proposals) -> tuple[int, ...]:
        """Return the rows of a target that propagation does not see; empty if it is not visible, several for a group.

        A whole that substitutes for its part is not the target.
        """
        if prompt_id not in self._known and isinstance(target.location, BoxPrompt) and not target.is_abandoned:
            group = group_in_box(proposals, target.location.box, row)
            if group:
                return group
        return (row,) if row >= 0 and target.whole_id == TENTATIVE else ()


def propagated_selection(prompt_id: str, target: Target, seen: PropagatedTarget, track_ids: Sequence[int]) -> Selection:
    """Return the selection of a target that propagation sees, with its status.

    Args:
        prompt_id: id of the prompt.
        target: its target.
        seen: the target in this frame.
        track_ids: track id of each row.
    """
    if seen.row >= 0:
        status = PromptStatus(prompt_id, "bound", seen.certainty, track_ids[seen.row], mask_source="proposal")
        return Selection(prompt_id, (seen.row,), (seen.certainty,), status=status)
    hypothesis = target.hypothesis
    own_id = TENTATIVE if hypothesis is None else max(hypothesis.track_id, TENTATIVE)
    status = PromptStatus(
        prompt_id,
        "bound",
        PROPAGATED_CONFIDENCE * seen.certainty,
        target.matched_id if target.matched_id >= 0 else own_id,
        mask_quality=PROPAGATED_QUALITY * seen.certainty,
        mask_source="propagated",
    )
    return Selection(prompt_id, (), (), mask=seen.mask, status=status)


def _may_start(target: Target, row: int) -> bool:
    """Return whether a target that is not in the memory may have a first mask in this frame."""
    return row >= 0 or (isinstance(target.location, BoxPrompt) and not target.is_abandoned)


def _certainties(found: Mapping[str, Float32Array]) -> dict[str, float]:
    """Return the mean margin, 0..1, of each soft mask (H, W) over the others in its cells."""
    if not found:
        return {}
    masks = np.stack(list(found.values()))  # (T, H, W)
    total = masks.sum(axis=0)
    margins = {}
    for prompt_id, mask in found.items():
        inside = mask > 0.5
        # The others together are at least as strong as the strongest of them.
        margins[prompt_id] = float((mask[inside] - (total - mask)[inside]).clip(0, 1).mean())
    return margins


def _continue_track(target: Target, row: int, agreeing: int, track_ids: list[int]) -> None:
    """Let a target whose own track is not visible continue with the track of the proposal that agrees."""
    target.whole_id = TENTATIVE
    hypothesis = target.hypothesis
    if row == agreeing or track_ids[agreeing] < 0 or hypothesis is None or hypothesis.track_id in track_ids:
        return
    target.matched_id, target.bridge = track_ids[agreeing], None
