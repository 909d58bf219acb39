"""Prompts that follow their target: evaluated once, on the frame that the sender saw, then matched by track id.

pending ─► tentative ─► bound ─► lost ─► bound          the tracker found the same track again
   │                              └► reacquired     re-identified under another track id
   └► abandoned                                     nothing was found at its place
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from streamseg.prompting.history import FrameHistory, FrameRecord, record_frame
from streamseg.prompting.locate import TargetLocator
from streamseg.prompting.mask_follower import MaskFollower
from streamseg.prompting.prompt_set import PromptSet, in_order
from streamseg.prompting.propagated import propagated_selection
from streamseg.prompting.select import select_with_status
from streamseg.prompting.state import SavedTargets
from streamseg.prompting.target import Target
from streamseg.prompting.targets import Targets
from streamseg.propagation import PropagationSettings
from streamseg.structures.instances import TENTATIVE, Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, Selection

__all__ = ["PromptTracker", "selection_for"]

TENTATIVE_CONFIDENCE: Final = 0.5
"""Confidence in an object that was seen too briefly to have a track id: many of those are gone in the next frame."""
WHOLE_CONFIDENCE: Final = 0.5
"""Confidence factor of a whole that substitutes for its part: the target is there, but the selection is larger."""


class PromptTracker:
    """Select the targets of one source's prompts, frame by frame.

    Frames come in order. Not thread-safe, except for `state_dict`.

    Args:
        propagation: settings of the propagation of masks.
    """

    def __init__(self, propagation: PropagationSettings | None = None) -> None:
        self._propagation = propagation
        self._history = FrameHistory()
        self._newest: FrameRecord | None = None
        self._targets = Targets()
        self._locator = TargetLocator()
        self._masks = MaskFollower(propagation)
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

        If the instances provide features, masks are propagated, too: what a propagated mask shows takes precedence over
        the track id.

        Args:
            tracked: the objects of the frame, K of them; may be 0.
            prompts: without texts; ids differ. Pass the same set while nothing changes: that costs least.
            frame_index: `Frame.index`.
            time_seconds: capture time, on the clock of the tracker.

        Returns:
            One Selection per prompt, in the prompts' order, each with a status except for everything. The score of
            a followed target is its confidence. A propagated mask that no instance agrees with is a selection with a
            mask and without rows.
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
        seen = self._masks.update(targets, rows, tracked, self._locator.log_odds)
        self._save()
        followed = []
        for prompt_id, target in targets.items():
            propagated = seen.get(prompt_id)
            if propagated is None or (propagated.row == rows[prompt_id] >= 0 and not propagated.is_vouched):
                selection = selection_for(prompt_id, target, rows[prompt_id])
            else:
                selection = propagated_selection(prompt_id, target, propagated, record.track_ids)
            followed.append(_with_fit_box(selection, target, record))
        unfollowed = select_with_status(tracked, prompts.unfollowed) if prompts.unfollowed.prompts else []
        return in_order((prompts.followed, followed), (prompts.unfollowed, unfollowed))

    def box(self, prompt: BoxPrompt) -> tuple[float, float, float, float] | None:
        """Return the box (xyxy) where a prompt is evaluated next: moved with its target, if it had one.

        None if the prompt is abandoned.
        """
        target = self._targets.by_prompt_id.get(prompt.prompt_id)
        if self.is_abandoned(prompt.prompt_id):
            return None
        location = target.location if target is not None else prompt
        return location.box if isinstance(location, BoxPrompt) else prompt.box

    def is_abandoned(self, prompt_id: str) -> bool:
        """Return whether nothing was found at a prompt's place for so long that the search ended."""
        target = self._targets.by_prompt_id.get(prompt_id)
        return target is not None and target.is_abandoned

    def restart(self) -> None:
        """Mark all targets as lost, because the source ended; they are re-identified by appearance if it returns."""
        self._targets.restart()
        self._locator.restart(self._targets.by_prompt_id.values(), self._history)
        self._masks = MaskFollower(self._propagation)
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


def _with_fit_box(selection: Selection, target: Target, record: FrameRecord) -> Selection:
    """Return the selection of a target with its box in the frame, if its box was drawn and the network has another."""
    if target.edges is None or not selection.rows or target.whole_id >= 0:
        return selection
    (row,) = selection.rows
    if not np.array_equal(record.own_boxes[row], record.boxes[row]):
        return selection  # fitted to the drawn box already
    fit_box = target.edges.corrected(record.boxes[row], record.tracked.instances.image_size)
    return replace(selection, fit_box=fit_box)
