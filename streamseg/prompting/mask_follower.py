"""Follow targets by the propagation of their masks, a second source beside the proposals of the network.

A proposal that agrees with the propagated mask is selected, because its outline is sharp. If none does, the network is
asked for its best mask in the box of the propagated one, whatever its score; if that does not agree either, the
propagated mask itself is selected, corrected by the refiner. The memory is written only if both agree, so that a wrong
proposal, or a mask that has leaked, cannot teach itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamseg.prompting.looks_again import SecondLooks, mean_label
from streamseg.prompting.mask_frame import MaskFrame, certainties_of
from streamseg.prompting.propagated import PropagatedTarget
from streamseg.prompting.relocation import Relocator
from streamseg.prompting.target import Target
from streamseg.prompting.turns import Turns
from streamseg.propagation import (
    LabelPropagator,
    PropagationSettings,
    Proposals,
    enlarged,
    group_in_box,
    group_in_mask,
)
from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.prompt import BoxPrompt

__all__ = ["MaskFollower"]

RELOCATED_CONFIDENCE: Final = 0.8
"""Confidence factor of a target that was found elsewhere by what it looks like."""
VOUCHED_CONFIDENCE: Final = 0.5
"""Confidence factor of a target that does not look like itself, but whose track did."""
UNION_WEIGHT: Final = 0.45
"""Weight of the members that are found in the mask of a group; below one half, so that those that are not remain."""


@dataclass(frozen=True, eq=False)
class _Known:
    """A target in the memory."""

    target: Target
    step: int
    """The `step` of its prompt."""
    is_group: bool
    """Whether it consists of several objects; its track is that of one of them."""
    num_replaced: int
    """`Target.num_replaced` when it was selected."""


class MaskFollower:
    """The propagated masks of the targets of one source.

    Without features of the images, and without targets, it does nothing.

    Args:
        settings: settings of the propagation.
    """

    def __init__(self, settings: PropagationSettings | None = None) -> None:
        self._settings = settings if settings is not None else PropagationSettings()
        self._propagator = LabelPropagator(self._settings)
        self._relocator = Relocator()
        self._turns = Turns()
        self._second_looks = SecondLooks(self._settings.look_iou)
        self._known: dict[str, _Known] = {}
        """The targets in the memory by prompt id."""

    def update(
        self,
        targets: Mapping[str, Target],
        rows: Mapping[str, int],
        tracked: Tracked,
        log_odds: Callable[[Target], Float64Array | None] = lambda _: None,
    ) -> dict[str, PropagatedTarget]:
        """Return the targets that propagation sees in the newest frame.

        Args:
            targets: targets by prompt id. A target that is seen under another track id continues with that one.
            rows: row of each target according to its track; -1 if it is not visible.
            tracked: the objects of the frame; K may be 0.
            log_odds: see `TargetLocator.log_odds`.
        """
        self._forget(targets)
        source = tracked.instances.features
        if source is None or not (self._known or any(_may_start(one, rows[key]) for key, one in targets.items())):
            return {}
        boxes, track_ids = tracked.instances.boxes.numpy(force=True).astype(np.float64), tracked.track_ids.tolist()
        resting = self._turns.resting(rows, boxes, track_ids, len(self._known))
        if len(resting) == len(self._known) and not any(
            one not in self._known and _may_start(target, rows[one]) for one, target in targets.items()
        ):
            self._propagator.rest(resting)
            self._relocator.rest(resting)
            return {}
        features, proposals = source(), Proposals(tracked.instances.to("cpu"))
        if not self._propagator.is_ready(features):
            resting = {}
        self._relocator.rest(resting)
        found = self._propagator.propagate(features, resting)
        frame = MaskFrame(features, proposals, tracked, certainties_of(found))
        answers, learnt = dict[str, PropagatedTarget](), dict[str, Float32Array]()
        doubtful, confirmed, dispersed = dict[str, Float32Array](), list[str](), set[str]()
        agreeing = proposals.best_each(found)
        for prompt_id, target in targets.items():
            if prompt_id in resting:
                continue
            soft, row = found.get(prompt_id), rows[prompt_id]
            if soft is None:
                members = self._members(prompt_id, target, row, proposals)
                if members:
                    learnt[prompt_id] = proposals.coverage(members, features.size)
                    known = self._known.get(prompt_id)
                    num_replaced = target.num_replaced if known is None else known.num_replaced
                    self._known[prompt_id] = _Known(target, target.prompt.step, len(members) > 1, num_replaced)
                if len(members) > 1:
                    answers[prompt_id] = PropagatedTarget(-1, frame.union(members), 1.0, shares=learnt[prompt_id])
            elif self._known[prompt_id].is_group:
                answers[prompt_id], label = self._group(prompt_id, soft, frame)
                if label is not None:
                    learnt[prompt_id] = label
                else:
                    dispersed.add(prompt_id)
            else:
                best, iou = agreeing[prompt_id]
                if iou >= self._settings.agreement_iou:
                    learnt[prompt_id] = mean_label(soft, proposals.coverage([best], features.size))
                    answers[prompt_id] = PropagatedTarget(best, None, frame.certainties[prompt_id])
                    confirmed.append(prompt_id)
                    _continue_track(target, row, best, frame.track_ids)
                else:
                    doubtful[prompt_id] = soft
        own_rows = {one: self._own_row(targets[one], rows[one], soft, proposals) for one, soft in doubtful.items()}
        for prompt_id, (answer, label) in self._second_looks.answers(doubtful, own_rows, frame).items():
            answers[prompt_id] = answer
            if answer.row >= 0:
                _continue_track(targets[prompt_id], answer.row, answer.row, frame.track_ids)
            if label is not None:
                learnt[prompt_id] = label
        self._relocate(targets, rows, answers, learnt, doubtful.keys() | dispersed, resting.keys(), frame, log_odds)
        vouched = {one for one, answer in answers.items() if answer.is_vouched}
        settled = [one for one in confirmed if answers[one].row == rows[one] and one not in vouched]
        self._turns.settle(settled, rows, boxes, track_ids)
        # A track that has switched must not become the reference for what its target looks like.
        self._relocator.learn({one: label for one, label in learnt.items() if one not in vouched}, frame)
        self._propagator.learn(features, learnt)
        return {
            prompt_id: replace(answer, certainty=answer.certainty * targets[prompt_id].confidence)
            for prompt_id, answer in answers.items()
        }

    def _relocate(
        self,
        targets: Mapping[str, Target],
        rows: Mapping[str, int],
        answers: dict[str, PropagatedTarget],
        learnt: dict[str, Float32Array],
        doubtful: Collection[str],
        resting: Collection[str],
        frame: MaskFrame,
        log_odds: Callable[[Target], Float64Array | None],
    ) -> None:
        """Replace the answers and labels of targets that do not look like themselves, by where they are, or by none.

        Those that rest are left as they are.
        """
        known = {one: target for one, target in targets.items() if one in self._known and not target.is_abandoned}
        places = {
            prompt_id: frame.place(answers.get(prompt_id), rows[prompt_id] if target.whole_id == TENTATIVE else -1)
            for prompt_id, target in known.items()
            if prompt_id not in resting
        }
        seen = {one: answers[one].row if one in answers else rows[one] for one in known}
        verdicts = self._relocator.verdicts(
            places, seen, places.keys() - doubtful, frame, lambda one: log_odds(targets[one])
        )
        vouched = {one: verdict.row for one, verdict in verdicts.items() if verdict.is_vouched}
        for prompt_id, row in vouched.items():
            answer = answers.get(prompt_id, PropagatedTarget(row, None, 1.0))
            answers[prompt_id] = replace(answer, certainty=VOUCHED_CONFIDENCE * answer.certainty, is_vouched=True)
        # What propagation remembers is another place.
        self._propagator.retain(self._known.keys() - (verdicts.keys() - vouched.keys()))
        for prompt_id, verdict in verdicts.items():
            if verdict.is_vouched:
                continue
            target = targets[prompt_id]
            learnt.pop(prompt_id, None)
            if verdict.row < 0 <= rows[prompt_id] and self._is_replaced(target, prompt_id):
                # What was selected at first is gone, and found nowhere: the next hypothesis need not look like it.
                self._relocator.forget(prompt_id)
                answers[prompt_id] = PropagatedTarget(rows[prompt_id], None, 1.0)
                learnt[prompt_id] = frame.proposals.coverage([rows[prompt_id]], frame.features.size)
                self._known[prompt_id] = _Known(target, target.prompt.step, False, target.num_replaced)
                continue
            if verdict.row < 0 and (places[prompt_id] is None or target.whole_id != TENTATIVE):
                continue  # nothing is selected, or the whole in place of its part
            answers[prompt_id] = PropagatedTarget(verdict.row, None, 1.0, is_relocated=verdict.is_elsewhere)
            if verdict.row >= 0:
                learnt[prompt_id] = frame.proposals.coverage([verdict.row], frame.features.size)
                self._known[prompt_id] = _Known(target, target.prompt.step, False, target.num_replaced)
                target.confidence *= RELOCATED_CONFIDENCE if verdict.is_elsewhere else 1.0
                target.matched_id, target.bridge = frame.track_ids[verdict.row], None
                target.whole_id = TENTATIVE

    def _is_replaced(self, target: Target, prompt_id: str) -> bool:
        """Return whether the track of a target is that of another hypothesis than the one in the memory."""
        return target.num_replaced > self._known[prompt_id].num_replaced and target.whole_id == TENTATIVE

    def _group(
        self, prompt_id: str, soft: Float32Array, frame: MaskFrame
    ) -> tuple[PropagatedTarget, Float32Array | None]:
        """Return the answer of a group, with its members' outlines where they are found, and its label if they are."""
        certainty, size = frame.certainties[prompt_id], frame.features.size
        best, iou = frame.proposals.best(soft)
        if iou >= self._settings.group_agreement_iou:
            label = mean_label(soft, frame.proposals.coverage([best], size))
            return PropagatedTarget(best, None, certainty), label
        members = group_in_mask(frame.proposals, soft, min_iou=self._settings.agreement_iou)
        if not members:
            shares = frame.proposals.soft_coverage(soft)
            return PropagatedTarget(-1, frame.image_mask(soft), certainty, shares=shares), None
        fine = (1 - UNION_WEIGHT) * enlarged(soft, frame.proposals.size)
        mask = frame.fine_mask(fine + UNION_WEIGHT * frame.proposals.union(members).astype(np.float32))
        answer = PropagatedTarget(-1, mask, certainty, shares=frame.cell_shares(mask))
        return answer, mean_label(soft, frame.proposals.coverage(members, size))

    def _own_row(self, target: Target, row: int, soft: Float32Array, proposals: Proposals) -> int:
        """Return the row with a target's own track id if it overlaps the propagated mask enough; else -1."""
        is_own = row >= 0 and target.whole_id == TENTATIVE
        return row if is_own and proposals.iou(row, soft) >= self._settings.own_agreement_iou else -1

    def _forget(self, targets: Mapping[str, Target]) -> None:
        """Forget the targets that are not followed any more, and those whose prompts mean something else now."""
        self._known = {
            prompt_id: known
            for prompt_id, known in self._known.items()
            if targets.get(prompt_id) is known.target and known.target.prompt.step == known.step
        }
        self._propagator.retain(self._known)
        self._turns.retain(self._known)
        self._relocator.retain(self._known)

    def _members(self, prompt_id: str, target: Target, row: int, proposals: Proposals) -> tuple[int, ...]:
        """Return the rows of a target that propagation does not see; empty if it is not visible, several for a group.

        A whole that substitutes for its part is not the target.
        """
        if prompt_id not in self._known and isinstance(target.location, BoxPrompt) and not target.is_abandoned:
            group = group_in_box(proposals, target.location.box, row)
            if group:
                return group
        return (row,) if row >= 0 and target.whole_id == TENTATIVE else ()


def _may_start(target: Target, row: int) -> bool:
    """Return whether a target that is not in the memory may have a first mask in this frame."""
    return row >= 0 or (isinstance(target.location, BoxPrompt) and not target.is_abandoned)


def _continue_track(target: Target, row: int, agreeing: int, track_ids: list[int]) -> None:
    """Let a target whose own track is not visible continue with the track of the proposal that agrees."""
    target.whole_id = TENTATIVE
    hypothesis = target.hypothesis
    if row == agreeing or track_ids[agreeing] < 0 or hypothesis is None or hypothesis.track_id in track_ids:
        return
    target.matched_id, target.bridge = track_ids[agreeing], None
