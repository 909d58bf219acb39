"""The stages composed: frames in, messages out. No threads, and no clock but the given one.

    segment ─► track ─► select ─► masks ─► Message

`segment` takes a batch and needs the network; `finish` takes one frame and needs the state of its source.
A runtime may run the two in two threads, one each; calling the pipeline runs both in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from streamseg.config import TrackingConfig
from streamseg.drawing.effect_book import EffectBook
from streamseg.errors import DataError
from streamseg.pipeline.better_masks import with_better_masks
from streamseg.pipeline.compose import FrameResult, Matches, PromptMatcher, SelectionMatcher, compose_message
from streamseg.pipeline.segment_function import (
    DeferringSegmenter,
    DegradableSegmenter,
    Nv12Segmenter,
    SegmentFunction,
)
from streamseg.pipeline.stream import Stream
from streamseg.prompting import PromptSet
from streamseg.prompting.text import TextMatcher, prepare_texts
from streamseg.propagation import PropagationSettings
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt, Prompt, Selection
from streamseg.telemetry import Drops, StageTimer
from streamseg.tiers import TierReport, Tiers
from streamseg.tiers.contract import ReportsTier
from streamseg.zones import ZoneBook

__all__ = ["Pipeline"]


class Pipeline:
    """From frames to messages, with one `Stream` for each source.

    A spatial prompt (points, a box, a mask) is bound to its target and stays with it, see `prompting.PromptTracker`.
    Without tracking, and with `follow=False`, it is evaluated in each frame anew. A prompt with a `source_id` applies
    to that source only.

    The segmenter gets the search regions known by then. If `segment` and `finish` run in two threads, the last frame
    may be missing from them, so that low-scoring instances can differ from run to run; called as a whole, the pipeline
    is deterministic.

    Args:
        segmenter: images to Instances, one each, in order.
        tracking: settings of the trackers.
        prompts: the prompts in force from the first frame on.
        matcher: how prompts are matched and masks are made; by default streamseg's own way.
        frame_ids: name of the coordinate frame by source id; other sources have none.
        now_ns: monotonic clock, from which the age of a frame is computed.
        text: text matcher, or None if no text encoder is configured.
        propagation: settings of the propagation of the masks of followed targets.
        prepare: work before the first frame, see `Pipeline.prepare`.
        tiers: better models for chosen objects.
        zones: zones and lines, reported in the messages.
        effects: effect on the images that people watch; None: none.

    Raises:
        ConfigError: a prompt is of a kind that cannot be matched.
        WeightsError, EngineError: there is a text, and `text` cannot be loaded.
    """

    def __init__(
        self,
        segmenter: SegmentFunction,
        *,
        tracking: TrackingConfig | None = None,
        prompts: Sequence[Prompt] = (EverythingPrompt(),),
        matcher: PromptMatcher | None = None,
        frame_ids: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
        text: TextMatcher | None = None,
        propagation: PropagationSettings | None = None,
        prepare: Callable[[], None] | None = None,
        tiers: Tiers | None = None,
        zones: ZoneBook | None = None,
        effects: EffectBook | None = None,
    ) -> None:
        self._tiers = tiers if tiers is not None else Tiers()
        self._zones = zones if zones is not None else ZoneBook(())
        self._effects = effects if effects is not None else EffectBook(None)
        self._segmenter = segmenter
        self._prepare = prepare
        self._propagation = propagation
        self._tracking = tracking if tracking is not None else TrackingConfig()
        self._matcher: PromptMatcher = matcher if matcher is not None else SelectionMatcher()
        self._frame_ids = dict(frame_ids or {})
        self._now_ns = now_ns
        self._text = text
        self._streams: dict[str, Stream] = {}
        self._prompts = PromptSet.of(())
        self.set_prompts(prompts)
        own_timer = getattr(segmenter, "timer", None)
        self.timer = own_timer if isinstance(own_timer, StageTimer) else StageTimer()
        """Milliseconds by stage, including the stages that the segmenter measures."""

    def prepare(self) -> None:
        """Prepare the segmenter, in the thread that will call `segment`: GPU libraries choose kernels per thread."""
        if self._prepare is not None:
            self._prepare()

    def __call__(self, frames: Sequence[Frame]) -> list[Message]:
        """Return the messages of a batch, in its order; none for no frame. Frames of one source come in order."""
        return [
            self.finish(frame, instances).message for frame, instances in zip(frames, self.segment(frames), strict=True)
        ]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts in force."""
        return self._prompts.prompts

    @property
    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """(H, W) of the latest image, by source id; thread-safe."""
        streams = tuple(self._streams.items())
        return {source_id: stream.image_size for source_id, stream in streams if stream.image_size is not None}

    def set_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Replace the prompts. Takes effect atomically with the next frame. Thread-safe.

        Raises:
            ConfigError: a prompt is of a kind that cannot be matched, such as a text without `text`.
            WeightsError, EngineError: there is a text, and `text` cannot be loaded.
        """
        grouped = PromptSet.of(prompts)
        prepare_texts(self._text, grouped.texts.prompts)
        self._matcher.check(grouped)
        self._prompts = grouped

    def state_dict(self) -> dict[str, object]:
        """Return what is needed to re-identify the prompts' targets in another run, by source and prompt id.

        Plain JSON values; thread-safe.
        """
        states = {source_id: stream.state_dict() for source_id, stream in tuple(self._streams.items())}
        return {source_id: state for source_id, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Load the targets of an earlier run: they apply to prompts of the same id and location.

        Call it before the first frame of the sources in the state; their targets known so far are forgotten.

        Args:
            state: a result of `state_dict`.

        Raises:
            DataError: the state is invalid; nothing has changed then.
        """
        if not isinstance(state, Mapping):
            raise DataError(f"the saved state of prompts must be a mapping of source ids, got {type(state).__name__}")
        loaded = {}
        for source_id, entries in state.items():
            if not isinstance(source_id, str) or not isinstance(entries, Mapping):
                raise DataError(f"the saved state of prompts must hold a mapping per source, got {source_id!r:.40}")
            loaded[source_id] = self._new_stream(source_id)
            loaded[source_id].load_state_dict(entries)
        self._streams.update(loaded)

    def name_frame(self, source_id: str, frame_id: str) -> None:
        """Set the name of the coordinate frame of a source. Thread-safe."""
        self._frame_ids[source_id] = frame_id

    @property
    def tier_reports(self) -> tuple[TierReport, ...]:
        """What the tiers have done so far; thread-safe. Empty without tiers."""
        parts = (self._tiers.quality, self._tiers.memory, self._text)
        return tuple(part.report() for part in parts if isinstance(part, ReportsTier))

    def end_source(self, source_id: str) -> None:
        """End a source: its prompts become `lost`; if it returns, its identities start afresh. Unknown ids are fine."""
        for tier in (self._tiers.quality, self._tiers.memory):
            if tier is not None:
                tier.end_source(source_id)
        self._zones.forget(source_id)
        self._effects.forget(source_id)
        stream = self._streams.get(source_id)
        if stream is not None:
            stream.end()

    def forget_source(self, source_id: str) -> None:
        """Release the memory of a source that has ended, unless its prompts may find their targets again."""
        stream = self._streams.get(source_id)
        if stream is not None and not stream.state_dict():
            del self._streams[source_id]
        self._frame_ids.pop(source_id, None)

    def segment(self, frames: Sequence[Frame]) -> list[Instances]:
        """Segment everything in each frame, in the frames' order: the part that batches.

        Frames with recorded instances do not go through the network.
        """
        if not frames:
            return []
        prompts = self._prompts
        with self.timer.stage("segment"):
            unknown = [position for position, frame in enumerate(frames) if frame.instances is None]
            found = dict(zip(unknown, self._segment([frames[one] for one in unknown], prompts), strict=True))
            return [
                frame.instances if frame.instances is not None else found[position]
                for position, frame in enumerate(frames)
            ]

    def begin(self, frames: Sequence[Frame]) -> list[Callable[[], Instances]]:
        """Run the network on each frame; return functions that return the instances of each, in the frames' order.

        Called once each in the thread of `finish`, they do what the segmenter leaves to it, see `DeferringSegmenter`;
        most segmenters leave nothing, and this is `segment`.
        """
        segmenter = self._segmenter
        if not (isinstance(segmenter, DeferringSegmenter) and segmenter.defers):
            return [partial(_same, instances) for instances in self.segment(frames)]
        prompts = self._prompts
        unknown = [frame for frame in frames if frame.instances is None]
        with self.timer.stage("segment"):
            regions = [self._stream(frame.source_id).search_regions(frame, prompts) for frame in unknown]
            degradations = [frame.degradation for frame in unknown]
            begun = iter(segmenter.begin_batch([frame.image for frame in unknown], regions, degradations))
        return [next(begun) if frame.instances is None else partial(_same, frame.instances) for frame in frames]

    def _segment(self, frames: Sequence[Frame], prompts: PromptSet) -> Sequence[Instances]:
        """Run the network; no frame is fine."""
        if not frames:
            return []
        regions = [self._stream(frame.source_id).search_regions(frame, prompts) for frame in frames]
        degradations = [frame.degradation for frame in frames]
        if isinstance(self._segmenter, Nv12Segmenter) and self._segmenter.reads_nv12:
            decoded = [frame.image if frame.nv12 is None else frame.nv12 for frame in frames]
            return self._segmenter.segment_batch(decoded, regions, degradations)
        images = [frame.image for frame in frames]
        if any(one.is_cheaper for one in degradations) and isinstance(self._segmenter, DegradableSegmenter):
            return self._segmenter.segment_batch(images, regions, degradations)
        return self._segmenter(images, regions)

    def finish(self, frame: Frame, instances: Instances, *, drops: Drops | None = None) -> FrameResult:
        """Track and select the instances of one frame; the frames of a source come in order.

        Args:
            frame: the frame.
            instances: the instances that `segment` found in it.
            drops: frames dropped so far, reported to subscribers.
        """
        stream = self._stream(frame.source_id)
        stream.begin_frame(frame, self._prompts)
        with self.timer.stage("track"):
            tracked = stream.track(instances)
        texts = self._match_texts(stream, frame, tracked)
        matches = self._matcher.match(
            tracked, stream.prompts, select=partial(self._select, stream, frame, tracked), texts=texts, timer=self.timer
        )
        matches = self._improve(frame, matches)
        message = compose_message(
            frame, matches, now_ns=self._now_ns(), frame_id=self._frame_ids.get(frame.source_id, ""), drops=drops
        )
        if zones := self._zones.update(message):
            message = replace(message, zones=zones)
        # Pixels of a frame that was decoded on a GPU are copied to the host only if they are needed.
        effect = self._effects.update(frame.image, message) if self._effects.is_on else None
        return FrameResult(frame, message, tracked, matches.selections, stream.prompts.prompts, effect)

    def _stream(self, source_id: str) -> Stream:
        stream = self._streams.get(source_id)
        if stream is None:
            # `segment` and `finish` may meet here in two threads: both get the same stream.
            stream = self._streams.setdefault(source_id, self._new_stream(source_id))
        return stream

    def _new_stream(self, source_id: str) -> Stream:
        return Stream(source_id, self._tracking, self._text, self._propagation)

    def _match_texts(self, stream: Stream, frame: Frame, tracked: Tracked) -> list[Selection]:
        if not stream.prompts.texts.prompts:
            return stream.match_texts(frame, tracked)
        with self.timer.stage("text"):
            return stream.match_texts(frame, tracked)

    def _select(self, stream: Stream, frame: Frame, tracked: Tracked) -> list[Selection]:
        selections = stream.select(tracked)
        if self._tiers.memory is None:
            return selections
        with self.timer.stage("memory"):
            return self._tiers.memory.follow(frame, tracked, stream.prompts.textless, selections)

    def _improve(self, frame: Frame, matches: Matches) -> Matches:
        quality = self._tiers.quality
        if quality is None or not matches.objects:
            return matches
        prompted = {one.prompt_id for one in matches.selections if one.status is not None}
        with self.timer.stage("quality"):
            better = quality.improve(frame, matches.objects, prompted)
        return with_better_masks(matches, better, "quality")


def _same(instances: Instances) -> Instances:
    return instances
