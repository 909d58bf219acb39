"""The memory tier: which prompts have a memory, and when it is started, used and corrected.

A memory starts with the mask that the built-in tracker selects. From then on it follows the object by itself, and its
mask is published. If it loses the object while the tracker is sure of it, the tracker's mask corrects it, and is
published meanwhile; so it is in every frame in which the time does not suffice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from streamseg.prompting import PromptSet
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import Selection, SpatialPrompt
from streamseg.tiers.contract import TierReport
from streamseg.tiers.costs import StageCosts
from streamseg.tiers.guard import TierGuard
from streamseg.tiers.memory.followed import FollowedPrompt, may_start, seen_selection, track_ids
from streamseg.tiers.memory.model import ObjectMemory, VideoModel
from streamseg.tiers.overlap import agreeing_row, row_mask

__all__ = ["SessionMemoryTier"]

MIN_PRESENCE: Final = 0.5
"""Minimum probability that the object is visible for its mask to be published: the models' own threshold."""
WARM_UP_SIZE: Final = (720, 1280)
"""Size (H, W) of the image that the first times are measured on."""
NUM_WARM_UPS: Final = 2
"""Number of measured frames after the first, which allocates."""


class SessionMemoryTier:
    """Follows the targets of prompts with a video model; shared by all sources.

    The prompts' order is that of their importance: if the time does not suffice for all of them, the first ones keep
    their memories up to date.

    Args:
        model: the video model.
        name: its name, as configured.
        max_objects: maximum number of prompts per source with a memory.
        budget_ms: maximum time to add to a frame; None: no limit, for recordings.
        now: clock in seconds.
    """

    def __init__(
        self,
        model: VideoModel[Any],
        *,
        name: str,
        max_objects: int = 8,
        budget_ms: float | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._max_objects = max_objects
        self._budget_ms = budget_ms
        self._now = now
        self._guard = TierGuard("memory", name)
        self._costs = StageCosts()
        self._followed: dict[str, dict[str, FollowedPrompt]] = {}
        """Memories by prompt id, by source id."""

    def warm_up(self, image_size: tuple[int, int] = WARM_UP_SIZE) -> None:
        """Measure the stages on an image of noise of (H, W), so that no frame is delayed by the first measurement.

        Raises:
            Exception: whatever the model raises; it cannot be used then.
        """
        height, width = image_size
        image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.bool_)
        mask[height // 4 : height // 2, width // 4 : width // 2] = True
        for _ in range(1 + NUM_WARM_UPS):
            costs, memory = StageCosts(), self._model.open_object()
            features = self._timed(costs, "encode", lambda: self._model.encode(image))
            self._timed(costs, "learn", lambda: memory.learn(features, mask))  # noqa: B023 called at once
            features = self._model.encode(image)
            self._timed(costs, "find", lambda: memory.find(features))  # noqa: B023
            self._costs = costs

    def follow(
        self, frame: Frame, tracked: Tracked, prompts: PromptSet, selections: Sequence[Selection]
    ) -> list[Selection]:
        """Return the selections of one frame, see `MemoryTier.follow`."""
        unchanged = list(selections)
        followed = self._followed.setdefault(frame.source_id, {})
        wanted = {prompt.prompt_id: prompt for prompt in prompts.followed.prompts}
        for prompt_id in [one for one, known in followed.items() if wanted.get(one) != known.prompt]:
            del followed[prompt_id]
        if not wanted or not self._guard.is_working:
            return unchanged
        replaced = self._guard.call(lambda: self._update(frame, tracked, wanted, followed, unchanged))
        if replaced is None:
            self._followed.clear()
            return unchanged
        return [replaced.get(one.prompt_id, one) for one in unchanged]

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended; unknown ids are fine."""
        self._followed.pop(source_id, None)

    def report(self) -> TierReport:
        """Return what the tier has done so far; thread-safe."""
        return self._guard.report()

    def _update(
        self,
        frame: Frame,
        tracked: Tracked,
        wanted: Mapping[str, SpatialPrompt],
        followed: dict[str, FollowedPrompt],
        selections: Sequence[Selection],
    ) -> dict[str, Selection]:
        """Return the replaced selections by prompt id."""
        own = {one.prompt_id: one for one in selections}
        turns = self._turns(wanted, followed, own)
        for known in followed.values():
            known.gap += 1
        begun, features = self._now(), None
        replaced = dict[str, Selection]()
        for position, prompt_id in enumerate(turns):
            step = "find" if prompt_id in followed else "learn"
            stages = ("encode", step) if features is None else (step,)
            if not self._fits((self._now() - begun) * 1e3, stages):
                self._costs.skipped(*stages)
                self._guard.count("over_budget", len(turns) - position)
                break
            if features is None:
                features = self._timed(self._costs, "encode", lambda: self._model.encode(frame.image))
            selection = self._step(prompt_id, wanted[prompt_id], followed, own[prompt_id], tracked, features)
            if selection is not None:
                replaced[prompt_id] = selection
        return replaced

    def _fits(self, elapsed_ms: float, stages: Sequence[str]) -> bool:
        """Return whether some stages are expected to end within the budget."""
        expected_ms = sum(self._costs.expected(stage) or 0.0 for stage in stages)
        return self._budget_ms is None or elapsed_ms + expected_ms <= self._budget_ms

    def _turns(
        self, wanted: Mapping[str, SpatialPrompt], followed: Mapping[str, FollowedPrompt], own: Mapping[str, Selection]
    ) -> list[str]:
        """Return the prompts to process, in their order: those with a memory, and new ones as far as there is room."""
        room = self._max_objects - len(followed)
        turns = []
        for prompt_id in wanted:
            if prompt_id not in followed:
                if room <= 0 or not may_start(own[prompt_id]):
                    continue
                room -= 1
            turns.append(prompt_id)
        return turns

    def _step(
        self,
        prompt_id: str,
        prompt: SpatialPrompt,
        followed: dict[str, FollowedPrompt],
        own: Selection,
        tracked: Tracked,
        features: Any,
    ) -> Selection | None:
        """Return what replaces the tracker's selection of one prompt; None to keep it."""
        known = followed.get(prompt_id)
        if known is None:
            memory = self._model.open_object()
            if self._learn(memory, features, own, tracked):
                followed[prompt_id] = FollowedPrompt(prompt, memory, track_ids=track_ids(own))
                self._guard.count("started")
            return None
        is_sure = known.trusts(own)
        is_stale, known.gap = known.is_stale, 0
        if not (is_stale and is_sure):
            seen = self._timed(self._costs, "find", lambda: known.memory.find(features))
            if seen.presence >= MIN_PRESENCE and seen.mask.area:
                self._guard.count("followed")
                row = agreeing_row(tracked.instances, seen.mask, first=own.rows[0] if own.rows else None)
                track_id = int(tracked.track_ids[row]) if row is not None else -1
                if track_id >= 0:
                    known.track_ids.add(track_id)
                return seen_selection(own, seen, track_id)
            self._guard.count("lost")
        if is_sure and self._learn(known.memory, features, own, tracked):
            self._guard.count("corrected")
        return None

    def _learn(self, memory: ObjectMemory[Any], features: Any, own: Selection, tracked: Tracked) -> bool:
        """Teach a memory the tracker's mask; return False if the mask is empty."""
        mask = own.mask if own.mask is not None else row_mask(tracked.instances, own.rows[0])
        if not mask.area:
            return False
        self._timed(self._costs, "learn", lambda: memory.learn(features, mask()))
        return True

    def _timed(self, costs: StageCosts, stage: str, work: Callable[[], Any]) -> Any:
        begun = self._now()
        result = work()
        costs.add(stage, (self._now() - begun) * 1e3)
        return result
