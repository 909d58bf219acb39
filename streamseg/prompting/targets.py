"""The targets of one source's prompts: started, stepped, evaluated and ended with them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from streamseg.prompting.box_edges import BoxEdges
from streamseg.prompting.history import FrameHistory, FrameRecord
from streamseg.prompting.prompt_set import PromptGroup
from streamseg.prompting.select import all_hypotheses
from streamseg.prompting.target import Hypothesis, Target, carry, is_step
from streamseg.prompting.transform import inner_point
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.prompt import BoxPrompt, SpatialPrompt

__all__ = ["MIN_BOUND_SCORE", "Targets"]

MIN_BOUND_SCORE: Final = 0.05
"""Minimum score of an instance that a prompt is bound to. A box makes the network return the best candidate inside,
whatever its score: on the rendered scene at most 0.02 on background, and at least 0.05 on objects
(`scripts/bench prompt_answers`)."""
NO_PROMPTS: Final[PromptGroup[SpatialPrompt]] = PromptGroup((), ())


class Targets:
    """The target of each prompt that follows, for one source."""

    def __init__(self) -> None:
        self._prompts = NO_PROMPTS
        self._targets: dict[str, Target] = {}
        self._pending: list[Hypothesis] = []

    @property
    def by_prompt_id(self) -> Mapping[str, Target]:
        """Targets in the order of the prompts."""
        return self._targets

    def restart(self) -> None:
        """Drop hypotheses without a track id: they cannot be re-identified after the tracks start afresh."""
        self._pending = []
        for target in self._targets.values():
            if target.hypothesis is None or target.hypothesis.track_id == TENTATIVE:
                target.hypotheses = []
                target.num_misses = 0

    def carry(self, before: FrameRecord, after: FrameRecord) -> None:
        """Carry hypotheses without a track id from the last frame to this one."""
        if not self._pending:
            return
        carry(self._pending, before, after)
        any_gone = any(one.is_gone for one in self._pending)
        self._pending = [one for one in self._pending if one.row >= 0]
        if any_gone:
            for target in self._targets.values():
                target.drop_gone(after)

    def synchronise(self, prompts: PromptGroup[SpatialPrompt], record: FrameRecord) -> list[Target]:
        """Start, step and end targets until they correspond to these prompts.

        Args:
            prompts: the prompts that follow; ids differ. Passing the same group again costs nothing.
            record: the newest frame.

        Returns:
            The targets that start here, without hypotheses yet.
        """
        if prompts is self._prompts:
            return []
        self._prompts = prompts
        before, self._targets = self._targets, {}
        started = []
        for prompt in prompts.prompts:
            target = before.get(prompt.prompt_id)
            if target is not None and is_step(target.prompt, prompt):
                self._step(target, prompt, record)
            elif target is None or target.prompt != prompt or (target.is_abandoned and target.prompt is not prompt):
                target = Target(prompt)
                started.append(target)
            self._targets[prompt.prompt_id] = target
        return started

    def evaluate(self, tracked: Tracked, history: FrameHistory) -> None:
        """Bind the targets without hypotheses, each on the frame that the sender of its prompt saw.

        An instance that scores less than `MIN_BOUND_SCORE` is no object.

        Args:
            tracked: the newest frame in full.
            history: the last frames, including the newest.
        """
        positions: dict[int, list[Target]] = {}
        newest = len(history) - 1
        for target in self._targets.values():
            if target.hypotheses or target.is_abandoned:
                continue
            position = None
            if not target.is_evaluated and target.prompt.frame_index is not None:
                position = history.position(target.prompt.frame_index)
            target.is_evaluated = True
            positions.setdefault(newest if position is None else position, []).append(target)
        for position, targets in positions.items():
            since = history.since(position)
            evaluated = tracked if position == newest else since[0].tracked
            selections = all_hypotheses(evaluated, [target.location for target in targets])
            is_object = (evaluated.instances.scores >= MIN_BOUND_SCORE).tolist()
            matches = [[row for row in selection.rows if is_object[row]] for selection in selections]
            # Several prompts may mean the same object: its hypothesis is shared, and carried once.
            rows = sorted({row for match in matches for row in match})
            hypotheses = dict(zip(rows, self._hypotheses(since, rows), strict=True))
            for target, match in zip(targets, matches, strict=True):
                if match:
                    target.evaluated_seconds = since[0].time_seconds
                    target.bind([hypotheses[row] for row in match], _edges(target.location, since[0], match))
                    target.drop_gone(since[-1])
                else:
                    target.miss(since[-1].time_seconds)

    def _step(self, target: Target, prompt: SpatialPrompt, record: FrameRecord) -> None:
        row = target.row_in(record)
        others = [one for one in target.hypotheses if one is not target.hypothesis and one.row_in(record) >= 0]
        if row >= 0 and not others:
            # No other hypothesis is visible: add the objects around this one.
            rows = all_hypotheses(record.tracked, [inner_point(prompt.prompt_id, record, row)])[0].rows
            if row in rows:
                target.rebuild(self._hypotheses([record], rows), rows.index(row), record, row)
        target.advance(prompt, record)

    def _hypotheses(self, since: Sequence[FrameRecord], rows: Sequence[int]) -> list[Hypothesis]:
        """Make hypotheses of a frame's rows; carry those without a track id through the frames since then."""
        track_ids, boxes = since[0].track_ids, since[0].boxes
        hypotheses = [
            Hypothesis(track_ids[row], row if track_ids[row] == TENTATIVE else -1, first_box=boxes[row]) for row in rows
        ]
        for before, after in itertools.pairwise(since):
            carry(hypotheses, before, after)
        self._pending += [one for one in hypotheses if one.row >= 0]
        return hypotheses


def _edges(location: SpatialPrompt, record: FrameRecord, rows: Sequence[int]) -> list[BoxEdges | None] | None:
    """Return what a drawn box says about the network's boxes of some rows of a frame; None if no box was drawn."""
    if not isinstance(location, BoxPrompt):
        return None
    image_size, own_boxes = record.tracked.instances.image_size, record.own_boxes
    return [BoxEdges.of(location.box, own_boxes[row], image_size) for row in rows]
