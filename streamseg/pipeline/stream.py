"""The sources that are watched, each with its tracker, its clock and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from streamseg.config import TrackingConfig
from streamseg.pipeline.guidance import guide_of_boxes
from streamseg.pipeline.source_time import SourceTime
from streamseg.prompting.prompt_set import PromptSet
from streamseg.structures.frame import Frame
from streamseg.structures.instances import TENTATIVE, Instances, Tracked
from streamseg.structures.prompt import Prompt
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.tracking import Tracker

__all__ = ["Stream", "Streams"]


class Stream:
    """What is remembered of one source until it ends."""

    def __init__(self, tracking: TrackingConfig, asked: PromptSet) -> None:
        self.time = SourceTime()
        self.image_size: tuple[int, int] | None = None
        """(H, W) of the latest picture."""
        self.asked = asked
        self.guide = NO_REGIONS
        """For the next frame, what the prompts want: in boxes without an answer, and where answers without an identity
        are. Replaced as a whole, for another thread."""
        self._tracker = Tracker(tracking)
        self._is_tracked = tracking.enabled

    def track(self, instances: Instances, time_seconds: float) -> Tracked:
        """The instances of the next frame with their identities; all of them `TENTATIVE` where nothing is tracked."""
        if self._is_tracked:
            return self._tracker.update(instances, time_seconds)
        return Tracked(instances, torch.full((len(instances),), TENTATIVE, dtype=torch.int64))

    def guide_to(self, frame: Frame) -> SearchRegions:
        """What prompts and tracks say about a frame to come; from any thread."""
        expected = self._tracker.expected(self.time.expected_at(frame))
        return SearchRegions(self.guide.prompted, np.concatenate((self.guide.expected, expected)))


class Streams:
    """One Stream for each source, from its first frame to its end.

    Args:
        tracking: settings of the trackers.
    """

    def __init__(self, tracking: TrackingConfig) -> None:
        self._tracking = tracking
        self._streams: dict[str, Stream] = {}

    @property
    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """(H, W) of the latest picture, by source id; from any thread."""
        streams = tuple(self._streams.items())
        return {source_id: stream.image_size for source_id, stream in streams if stream.image_size is not None}

    def of(self, frame: Frame, prompts: Sequence[Prompt]) -> Stream:
        """That of a frame's source, of which these prompts are asked from here on; a source that is not known begins.

        Args:
            frame: the frame.
            prompts: those of all sources. Hand over the same sequence while nothing changes: that costs nothing.
        """
        stream = self._streams.get(frame.source_id)
        if stream is None:
            stream = self._streams[frame.source_id] = Stream(self._tracking, PromptSet.of(prompts, frame.source_id))
        if stream.asked.given is not prompts:
            stream.asked = PromptSet.of(prompts, frame.source_id)
        return stream

    def guide(self, frame: Frame, prompts: Sequence[Prompt]) -> SearchRegions:
        """What is known about a frame before it is segmented; earlier ones may not be finished yet."""
        if not self._tracking.enabled:
            return guide_of_boxes(PromptSet.of(prompts, frame.source_id).prompts)
        stream = self._streams.get(frame.source_id)
        return stream.guide_to(frame) if stream is not None else NO_REGIONS

    def end_source(self, source_id: str) -> None:
        """Forget a source; one that is not known is fine."""
        self._streams.pop(source_id, None)
