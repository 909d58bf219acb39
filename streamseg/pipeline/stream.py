"""One source between its frames: clock, tracker, prompts, their targets and texts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from streamseg.config import TrackingConfig
from streamseg.errors import DataError
from streamseg.prompting import PromptSet, PromptTracker
from streamseg.prompting.confidence import rated, with_mask_quality
from streamseg.prompting.select import select_with_status
from streamseg.prompting.text import TextMatcher, TextTracker
from streamseg.propagation import PropagationSettings
from streamseg.structures.arrays import Float64Array
from streamseg.structures.frame import Frame
from streamseg.structures.instances import TENTATIVE, Instances, Tracked
from streamseg.structures.prompt import PointPrompt, Selection
from streamseg.structures.prompt_location import check_prompts
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.tracking import Tracker

__all__ = ["SourceTime", "Stream"]

logger = logging.getLogger(__name__)


class SourceTime:
    """Seconds of one source that never run backwards.

    Presentation times are exact, but start again when a camera returns or a file repeats; the arrival time bridges
    such a step. Frames without presentation times are timed by arrival.
    """

    def __init__(self) -> None:
        self._latest: tuple[Frame | None, float] = (None, 0.0)

    def at(self, frame: Frame) -> float:
        """Return the seconds of this frame since the source's first; frames come in order."""
        seconds = self.expected_at(frame)
        self._latest = (frame, seconds)
        return seconds

    def expected_at(self, frame: Frame) -> float:
        """Return what `at` would return if this frame came next; thread-safe."""
        last, seconds = self._latest
        if last is None:
            return seconds
        arrived_seconds = max(frame.received_ns - last.received_ns, 0) / 1e9
        step = None
        if frame.pts_seconds is not None and last.pts_seconds is not None:
            step = frame.pts_seconds - last.pts_seconds
        return seconds + (step if step is not None and step > 0 else arrived_seconds)


class Stream:
    """The state of one source.

    `search_regions` may be called from another thread than the rest, which processes frames in order.

    Args:
        source_id: id of the source.
        tracking: settings of the tracker. Without tracking, no prompt follows a target.
        text_matcher: matches texts; None if no text encoder is configured.
        propagation: settings of the propagation of masks.
    """

    def __init__(
        self,
        source_id: str,
        tracking: TrackingConfig,
        text_matcher: TextMatcher | None = None,
        propagation: PropagationSettings | None = None,
    ) -> None:
        self._source_id = source_id
        self._tracking = tracking
        self._text_matcher = text_matcher
        self._given: PromptSet | None = None
        self._prompts = PromptSet.of(())
        self._propagation = propagation
        self._prompt_tracker = PromptTracker(propagation)
        self._reset()

    def _reset(self) -> None:
        self.image_size: tuple[int, int] | None = None
        """(H, W) of the latest image; None before the first frame and after the end."""
        self._time = SourceTime()
        self._frame_index = 0
        self._time_seconds = 0.0
        self._tracker = Tracker(self._tracking)
        self._texts = TextTracker(self._text_matcher.open_source() if self._text_matcher is not None else None)
        self._regions = NO_REGIONS

    @property
    def prompts(self) -> PromptSet:
        """The prompts of this source."""
        return self._prompts

    def search_regions(self, frame: Frame, prompts: PromptSet) -> SearchRegions:
        """Return where the segmenter should search for low scores in a frame to come; thread-safe.

        Expected are the tracked objects, and targets that have no track id yet or only a propagated mask; prompted are
        new boxes and boxes without a match, and so are points; followed are all targets that were seen. Without
        tracking, all boxes are prompted, and so are points.
        Earlier frames may not be finished yet.

        Args:
            frame: the frame to come.
            prompts: the prompts of all sources.
        """
        if not self._tracking.enabled:
            own = prompts.for_source(self._source_id)
            boxes, points = _boxes([one.box for one in own.boxes.prompts]), _points(own.points.prompts)
            return SearchRegions(boxes, points=points) if len(boxes) or len(points) else NO_REGIONS
        expected = self._tracker.expected(self._time.expected_at(frame))
        regions = self._regions
        prompted = np.concatenate((regions.prompted, _boxes(self._new_boxes(prompts))))
        points = np.concatenate((regions.points, _points(self._new_points(prompts))))
        return SearchRegions(prompted, np.concatenate((regions.expected, expected)), points, regions.followed)

    def _new_boxes(self, prompts: PromptSet) -> list[tuple[float, float, float, float]]:
        """Return the boxes that `begin_frame` has not got yet and that apply to the next frame."""
        known = self._prompts
        if self._given is prompts:
            return []
        fresh = prompts.for_source(self._source_id).boxes.prompts
        return [one.box for one in fresh if one.frame_index is None and one not in known.boxes.prompts]

    def _new_points(self, prompts: PromptSet) -> list[PointPrompt]:
        """Return the point prompts that `begin_frame` has not got yet and that apply to the next frame."""
        known = self._prompts
        if self._given is prompts:
            return []
        fresh = prompts.for_source(self._source_id).points.prompts
        return [one for one in fresh if one.frame_index is None and one not in known.points.prompts]

    def begin_frame(self, frame: Frame, prompts: PromptSet) -> None:
        """Take a frame, and the prompts that are in force from it on.

        A prompt outside the image is not an error (it may target another source), but it is logged.

        Args:
            frame: the next frame.
            prompts: the prompts of all sources. Pass the same set while nothing changes: that costs nothing.
        """
        if self._given is not prompts:
            self._given, self._prompts = prompts, prompts.for_source(self._source_id)
        self._frame_index, self._time_seconds = frame.index, self._time.at(frame)
        if self.image_size != frame.size:
            self.image_size = frame.size
            try:
                check_prompts(self._prompts.prompts, frame.size)
            except DataError as error:
                logger.warning("source %s: %s", self._source_id, error, extra={"source": self._source_id})

    def track(self, instances: Instances) -> Tracked:
        """Return the instances of the frame with their track ids; all `TENTATIVE` without tracking."""
        if self._tracking.enabled:
            return self._tracker.update(instances, self._time_seconds)
        return Tracked(instances, torch.full((len(instances),), TENTATIVE, dtype=torch.int64))

    def match_texts(self, frame: Frame, tracked: Tracked) -> list[Selection]:
        """Return one Selection per text, in the prompts' order."""
        texts = self._prompts.texts.prompts
        selections = self._texts.update(frame, tracked, texts)
        if not selections:
            return []
        scores = tracked.instances.scores.tolist()
        return [with_mask_quality(one, text, scores) for one, text in zip(selections, texts, strict=True)]

    def select(self, tracked: Tracked) -> list[Selection]:
        """Select the instances of the frame for all prompts but texts, in order; updates the search regions."""
        prompts = self._prompts.textless
        if not self._tracking.enabled:
            return rated(select_with_status(tracked, prompts), prompts, tracked.instances, is_tracked=False)
        selections = self._prompt_tracker.update(
            tracked, prompts, frame_index=self._frame_index, time_seconds=self._time_seconds
        )
        # Replaced as a whole, because another thread reads it.
        self._regions = self._next_regions(tracked, selections)
        return rated(selections, prompts, tracked.instances)

    def end(self) -> None:
        """Forget the frames, tracks and texts of a source that has ended; its identities start afresh if it returns.

        Its prompts become `lost`, and their targets are re-identified by appearance.
        """
        self._reset()
        self._prompt_tracker.restart()

    def state_dict(self) -> dict[str, object]:
        """Return what is needed to re-identify the targets in another run, as plain JSON values. Thread-safe."""
        return self._prompt_tracker.state_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Load the targets of an earlier run, before the first frame; targets known so far are forgotten.

        Raises:
            DataError: the state is invalid; nothing has changed then.
        """
        tracker = PromptTracker(self._propagation)
        tracker.load_state_dict(state)
        self._prompt_tracker = tracker

    def _next_regions(self, tracked: Tracked, selections: Sequence[Selection]) -> SearchRegions:
        """Return the boxes without a match, those of propagated masks and of instances without a track id, and targets.

        Targets take turns to be the first.
        """
        unmatched = set[str]()
        tentative = set[int]()
        propagated = []
        for selection in selections:
            status = selection.status
            if selection.mask is not None:
                propagated.append(selection.mask.crop_box)
                continue
            if status is None or status.track_id >= 0:
                continue
            if selection.rows:
                tentative.add(selection.rows[0])
            elif status.state == "none":
                unmatched.add(selection.prompt_id)
        unmatched_boxes = [one for one in self._prompts.boxes.prompts if one.prompt_id in unmatched]
        boxes = [box for box in map(self._prompt_tracker.box, unmatched_boxes) if box is not None]
        points = [
            one
            for one in self._prompts.points.prompts
            if one.prompt_id in unmatched and not self._prompt_tracker.is_abandoned(one.prompt_id)
        ]
        followed = _target_boxes(selections, tracked)
        if not boxes and not len(followed) and not points:
            return NO_REGIONS
        in_turn = np.roll(followed, -(self._frame_index % max(len(followed), 1)), axis=0)
        expected = tracked.instances.boxes[sorted(tentative)].double().numpy(force=True)
        return SearchRegions(_boxes(boxes), np.concatenate((expected, _boxes(propagated))), _points(points), in_turn)


def _target_boxes(selections: Sequence[Selection], tracked: Tracked) -> Float64Array:
    """Return where the targets of prompts were selected, (F, 4); those that were not are omitted."""
    seen = [one for one in selections if one.status is not None and (one.mask is not None or one.rows)]
    if not seen:
        return _boxes([])
    of_rows = tracked.instances.boxes.tolist()  # at once: they may be on another device
    return _boxes([one.mask.crop_box if one.mask is not None else of_rows[one.rows[0]] for one in seen])


def _points(prompts: Sequence[PointPrompt]) -> Float64Array:
    """Return the first foreground point of each prompt, (N, 2)."""
    first = [
        next((point for point, label in zip(one.point_coords, one.point_labels, strict=True) if label == 1), None)
        for one in prompts
    ]
    return np.array([point for point in first if point is not None], dtype=np.float64).reshape(-1, 2)


def _boxes(boxes: Sequence[tuple[float, float, float, float]]) -> Float64Array:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
