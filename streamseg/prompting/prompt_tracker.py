"""Prompts that follow their target: evaluated once, on the frame that the sender saw, then matched by track id.

pending ─► tentative ─► bound ─► lost ─► bound          the tracker found the same track again
   │                              └► reacquired     re-identified under another track id
   └► abandoned                                     nothing was found at its place
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from streamseg.prompting.history import FrameHistory, FrameRecord, record_frame
from streamseg.prompting.locate import TargetLocator
from streamseg.prompting.prompt_set import PromptGroup, PromptSet, in_order
from streamseg.prompting.select import all_hypotheses, select_with_status
from streamseg.prompting.state import SavedTargets
from streamseg.prompting.target import Hypothesis, Target, carry, inner_point, is_step
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, Selection, SpatialPrompt

__all__ = ["PromptTracker", "Targets", "selection_for"]

MIN_BOUND_SCORE: Final = 0.05
"""Minimum score of an instance that a prompt is bound to. A box makes the network return the best candidate inside,
whatever its score: on the rendered scene at most 0.02 on background, and at least 0.05 on objects
(`scripts/bench prompt_answers`)."""
TENTATIVE_CONFIDENCE: Final = 0.5
"""Confidence in an object that was seen too briefly to have a track id: many of those are gone in the next frame."""
WHOLE_CONFIDENCE: Final = 0.5
"""Confidence factor of a whole that substitutes for its part: the target is there, but the selection is larger."""

NO_PROMPTS: Final[PromptGroup[SpatialPrompt]] = PromptGroup((), ())


class PromptTracker:
    """Select the targets of one source's prompts, frame by frame.

    Frames come in order. Not thread-safe, except for `state_dict`.
    """

    def __init__(self) -> None:
        self._history = FrameHistory()
        self._newest: FrameRecord | None = None
        self._targets = Targets()
        self._locator = TargetLocator()
        self._saved = SavedTargets({})

    def update(self, tracked: Tracked, prompts: PromptSet, *, frame_index: int, time_seconds: float) -> list[Selection]:
        """Select the match of each prompt in one frame.

        A prompt that follows is evaluated once: on the frame with its `frame_index` if that is within the history
        (`history.HISTORY_SECONDS`), else on this frame. If nothing matches, it is evaluated on the next frames as well,
        `target.GRACE_FRAMES` in all, and then abandoned: it does not select what comes to its place later. A target
        that is lost before it has a track id is searched for at its last location, for `target.GRACE_SECONDS`. From
        then on the track id of the target decides. A prompt that differs from an earlier one of the same id only in
        its `step` moves on to another hypothesis of the first; any other is evaluated afresh, and so is an abandoned
        one that is given again as another object.

        Args:
            tracked: the objects of the frame, K of them; may be 0.
            prompts: without texts; ids differ. Pass the same set while nothing changes: that costs least.
            frame_index: `Frame.index`.
            time_seconds: capture time, on the clock of the tracker.

        Returns:
            One Selection per prompt, in the prompts' order, each with a status except for everything. The score of
            a followed target is its confidence.
        """
        record = record_frame(tracked, frame_index, time_seconds)
        before, self._newest = self._newest, record
        if before is not None:
            self._targets.carry(before, record)
        self._history.add(record)
        for started in self._targets.synchronise(prompts.followed, record):
            appearance = self._saved.pop(started.prompt)
            if appearance is not None:
                self._locator.search_for(started, appearance)
        self._targets.evaluate(tracked, self._history)
        targets = self._targets.by_prompt_id
        rows = self._locator.rows(targets, self._history, before, record)
        self._save()
        followed = [
            selection_for(one.prompt_id, targets[one.prompt_id], rows[one.prompt_id])
            for one in prompts.followed.prompts
        ]
        unfollowed = select_with_status(tracked, prompts.unfollowed) if prompts.unfollowed.prompts else []
        return in_order((prompts.followed, followed), (prompts.unfollowed, unfollowed))

    def box(self, prompt: BoxPrompt) -> tuple[float, float, float, float] | None:
        """Return the box (xyxy) where a prompt is evaluated next: moved with its target, if it had one.

        None if the prompt is abandoned.
        """
        target = self._targets.by_prompt_id.get(prompt.prompt_id)
        if target is not None and target.is_abandoned:
            return None
        location = target.location if target is not None else prompt
        return location.box if isinstance(location, BoxPrompt) else prompt.box

    def restart(self) -> None:
        """Mark all targets as lost, because the source ended; they are re-identified by appearance if it returns."""
        self._targets.restart()
        self._locator.restart(self._targets.by_prompt_id.values(), self._history)
        self._history = FrameHistory()  # another thread may still be reading the old one
        self._newest = None
        self._save()

    def state_dict(self) -> dict[str, object]:
        """Return the appearance of the targets by prompt id, as plain JSON values. Thread-safe."""
        return self._saved.state_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Load the targets of an earlier run, before the first frame; they are searched for once their prompts arrive.

        Args:
            state: a result of `state_dict`. An entry applies to the prompt of the same id and location.

        Raises:
            DataError: an entry is invalid; nothing has changed then.
        """
        self._saved = SavedTargets(state)

    def _save(self) -> None:
        self._saved.update(self._targets.by_prompt_id.values(), self._history, self._locator.galleries)


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
                    target.bind([hypotheses[row] for row in match])
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


def selection_for(prompt_id: str, target: Target, row: int) -> Selection:
    """Return the selection of a prompt that follows, with its status.

    Args:
        prompt_id: id of the prompt.
        target: its target.
        row: the row that is selected; -1 if the target is not seen.
    """
    hypothesis = target.hypothesis
    if hypothesis is None:
        return Selection(prompt_id, (), (), status=PromptStatus(prompt_id, "none"))
    if row >= 0 and target.whole_id >= 0:
        confidence = WHOLE_CONFIDENCE * target.confidence
        status = PromptStatus(prompt_id, "bound", confidence, target.whole_id)
        return Selection(prompt_id, (row,), (confidence,), status=status)
    is_matched = target.matched_id >= 0
    track_id = target.matched_id if is_matched else max(hypothesis.track_id, TENTATIVE)
    if row < 0:
        return Selection(prompt_id, (), (), status=PromptStatus(prompt_id, "lost", 0.0, track_id))
    is_certain = track_id != TENTATIVE and target.bridge is None
    confidence = target.confidence if is_certain else TENTATIVE_CONFIDENCE
    status = PromptStatus(prompt_id, "reacquired" if is_matched else "bound", confidence, track_id)
    return Selection(prompt_id, (row,), (confidence,), status=status)
