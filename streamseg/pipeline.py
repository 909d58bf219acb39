"""The stages composed: frames in, messages out. No threads, and no clock but the one given.

    segment ─► track ─► follow ─► masks ─► Message          prompting="default"
    segment ─► reference boxes ─► track ─► reference masks ─► select ─► Message          prompting="reference"

`segment` takes a batch and needs the network; `finish` takes one frame and needs its source's tracker.
A runtime may run the two in two threads, each in one; called as a whole it runs both in turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from streamseg.answers import default_answers, reference_answers
from streamseg.asked import Asked
from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError
from streamseg.guidance import GuidedSegmenter, guide_of_answers, guide_of_boxes
from streamseg.prompting import PromptFollower, check_prompts, select, status_of
from streamseg.segmentation.reference_masks import as_reference
from streamseg.source_time import SourceTime
from streamseg.structures.frame import Frame
from streamseg.structures.guide import NO_GUIDE, Guide
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import Message, PromptStatus
from streamseg.structures.prompt import EverythingPrompt, MaskPrompt, Prompt, Selection, TextPrompt
from streamseg.telemetry import Drops, StageTimer
from streamseg.tracking import Tracker

__all__ = ["Pipeline", "Result", "TextAnswers"]

logger = logging.getLogger(__name__)

SegmentFunction = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]
"""What a segmenter is to a pipeline: pictures uint8 (H, W, 3) RGB in, one Instances for each out."""


class TextAnswers(Protocol):
    """What knows words."""

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """One Selection per prompt, in the prompts' order: the rows that are what it says, best first."""

    def prepare(self) -> object:
        """Get ready, from any thread, before the first text is asked for; raises StreamsegError where it cannot."""

    def end_source(self, source_id: str) -> None:
        """Forget the objects of a source, whose identities start afresh."""


@dataclass(frozen=True, eq=False)
class Result:
    """All that is known about one frame in the end."""

    frame: Frame
    message: Message
    """What is published: the objects that answer a prompt."""
    tracked: Tracked
    """Every instance of the frame, asked for or not."""
    selections: tuple[Selection, ...]
    """One for each prompt that is asked of the frame's source, in the prompts' order; its rows are rows of
    `tracked`."""


class _Stream:
    """What is remembered of one source until it ends."""

    def __init__(self, tracking: TrackingConfig, asked: Asked) -> None:
        self.tracker = Tracker(tracking)
        self.time = SourceTime()
        self.image_size: tuple[int, int] | None = None
        self.asked = asked
        self.guide = NO_GUIDE
        """For the next frame, what the prompts want: in boxes without an answer, and where answers without an identity
        are. Replaced as a whole, for another thread."""
        self.answered_texts: frozenset[tuple[str, str]] = frozenset()
        """Id and text of those that had an answer at any time."""


class Pipeline:
    """From frames to messages, with one tracker and one follower of prompts for each source.

    A prompt that means a place (points, a box, a mask) is bound to the object that answers it, and stays with that:
    see `prompting.PromptFollower`. Where nothing is tracked, with `follow=False` and with reference prompting, it is
    answered in each frame for itself. A prompt with a `source_id` is not asked of other sources.

    A segmenter with a method `guided` is told where to look more closely: where objects are expected that are followed,
    and in boxes that nothing else answers; where nothing is tracked, in all boxes. It is told what is known by then:
    where `segment` and `finish` run in two threads, that may lack the last frame, so that what is found by low scores
    can differ from run to run; called as a whole, the pipeline gives the same each time.

    With `prompting="reference"`, pictures are read and prompts answered as by the official FastSAM
    program; `answers.reference_answers` says in what.

    Args:
        segmenter: pictures to Instances, one for each, in order.
        tracking: settings of the trackers.
        prompts: what is asked of every frame.
        mask_scale: size of the masks relative to the source image, 0..1.
        frame_ids: name of the coordinate frame by source id; sources that are missing have none.
        now_ns: wall clock (ns since the Unix epoch), against which the age of a frame is taken.
        prompting: whose answers to give, and with them whose masks.
        retina_masks: reference only. False: masks at the size of the network's input, padding included,
            for which the prompts are stretched as there, without regard to the padding.
        text: answers texts; None where there is nobody who can.
        prompt_memory: what `prompt_memory()` gave in an earlier run, so that prompts find their objects again.

    Raises:
        ConfigError: reference masks are asked for at another size, or prompts that nobody can answer.
        WeightsError, EngineError: a text is asked for, and `text` cannot get ready for it.
        DataError: the memory of prompts is damaged.
    """

    def __init__(
        self,
        segmenter: SegmentFunction | GuidedSegmenter,
        *,
        tracking: TrackingConfig | None = None,
        prompts: Sequence[Prompt] = (EverythingPrompt(),),
        mask_scale: float = 1.0,
        frame_ids: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        prompting: Literal["default", "reference"] = "default",
        retina_masks: bool = True,
        text: TextAnswers | None = None,
        prompt_memory: Mapping[str, object] | None = None,
    ) -> None:
        if prompting == "reference" and mask_scale != 1:
            raise ConfigError(f"reference masks have one size; set mask_scale to 1, got {mask_scale:g}")
        self._segmenter = segmenter
        self._tracking = tracking if tracking is not None else TrackingConfig()
        self._is_reference = prompting == "reference"
        self._text = text
        self._prompts = self._answerable(prompts)
        self._mask_scale = mask_scale
        self._frame_ids = dict(frame_ids or {})
        self._now_ns = now_ns
        self._retina_masks = retina_masks
        self._streams: dict[str, _Stream] = {}
        self._followers: dict[str, PromptFollower] = {}
        self.remember(prompt_memory if prompt_memory is not None else {})
        own_timer = getattr(segmenter, "timer", None)
        self.timer = own_timer if isinstance(own_timer, StageTimer) else StageTimer()
        """Milliseconds by stage; the segmenter's own stages are among them where it times them."""

    def __call__(self, frames: Sequence[Frame]) -> list[Message]:
        """Messages of a batch, in its order; none for no frame. Frames of one source come in order."""
        return [
            self.finish(frame, instances).message for frame, instances in zip(frames, self.segment(frames), strict=True)
        ]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What is asked of every frame."""
        return self._prompts

    @property
    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """(H, W) of the latest picture, by source id."""
        streams = tuple(self._streams.items())
        return {source_id: stream.image_size for source_id, stream in streams if stream.image_size is not None}

    def set_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Ask something else from the next frame on; from any thread, a frame sees all of it or nothing.

        Raises:
            ConfigError: nobody can answer one of them: a text without `text`, a mask in reference prompting.
            WeightsError, EngineError: `text` cannot get ready for a text.
        """
        self._prompts = self._answerable(prompts)

    def prompt_memory(self) -> dict[str, object]:
        """What is needed to find the prompts' objects again in another run: plain numbers, by source and prompt id.

        For JSON; from any thread.
        """
        return {source_id: follower.memory() for source_id, follower in tuple(self._followers.items())}

    def remember(self, memory: Mapping[str, object]) -> None:
        """Look for the objects of an earlier run's prompts: those of the same id that mean the same place.

        To be called before the first frame of the sources that it names; what they knew of their prompts is forgotten.

        Args:
            memory: what `prompt_memory()` gave.

        Raises:
            DataError: it is something else; then nothing of it is taken.
        """
        if not isinstance(memory, Mapping):
            raise DataError(f"the memory of prompts must be a mapping of source ids, got {type(memory).__name__}")
        followers = {}
        for source_id, entries in memory.items():
            if not isinstance(source_id, str) or not isinstance(entries, Mapping):
                raise DataError(f"the memory of prompts must hold a mapping for each source, not so {source_id!r:.40}")
            followers[source_id] = PromptFollower(entries)
        self._followers.update(followers)

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended; should it come back, its identities start afresh.

        Its prompts stay: they are lost, and look for their objects by their looks.
        """
        self._streams.pop(source_id, None)
        if self._text is not None:
            self._text.end_source(source_id)
        follower = self._followers.get(source_id)
        if follower is not None:
            follower.restart()

    def segment(self, frames: Sequence[Frame]) -> list[Instances]:
        """Everything in each frame, in the frames' order: the part that batches."""
        if not frames:
            return []
        with self.timer.stage("segment"):
            images = [frame.image for frame in frames]
            if self._is_reference or not isinstance(self._segmenter, GuidedSegmenter):
                return list(self._segmenter(images))
            return list(self._segmenter.guided(images, [self._guide(frame) for frame in frames]))

    def finish(self, frame: Frame, instances: Instances, *, drops: Drops | None = None) -> Result:
        """Follow and choose the instances of one frame; the frames of a source come in order.

        Args:
            frame: the frame.
            instances: what `segment` found in it.
            drops: frames dropped so far, to be told to subscribers.
        """
        stream = self._stream_of(frame, self._prompts)
        asked = stream.asked
        if self._is_reference:
            instances = as_reference(instances)
        time_seconds = stream.time.at(frame)
        with self.timer.stage("track"):
            tracked = self._track(stream, instances, time_seconds)
        texts = self._text_answers(stream, frame, tracked)
        if self._is_reference:
            answers = reference_answers(
                tracked,
                asked.prompts,
                texts=texts,
                labels=asked.labels,
                retina_masks=self._retina_masks,
                timer=self.timer,
            )
        else:
            with self.timer.stage("select"):
                selections = self._placed_answers(frame, tracked, asked, time_seconds)
            stream.guide = guide_of_answers(asked.placed, selections, tracked)
            if texts:
                placed, spoken = iter(selections), iter(texts)
                selections = [next(spoken if isinstance(one, TextPrompt) else placed) for one in asked.prompts]
            answers = default_answers(
                tracked, selections, mask_size=self._mask_size(frame.size), timer=self.timer, labels=asked.labels
            )
        message = Message(
            source_id=frame.source_id,
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            clock=frame.clock,
            age_ms=(self._now_ns() - frame.captured_ns) / 1e6,
            image_size=frame.size,
            mask_size=answers.mask_size,
            mask_to_image=answers.mask_to_image,
            objects=answers.objects,
            pts_seconds=frame.pts_seconds,
            frame_id=self._frame_ids.get(frame.source_id, ""),
            prompts=tuple(one.status for one in answers.selections if one.status is not None),
            drops=drops if drops is not None else {},
        )
        return Result(frame, message, tracked, answers.selections)

    def _guide(self, frame: Frame) -> Guide:
        """What is known about a frame before it is segmented; earlier ones may not be finished yet."""
        if not self._tracking.enabled:
            return guide_of_boxes(Asked.of(self._prompts, frame.source_id).prompts)
        stream = self._streams.get(frame.source_id)
        if stream is None:
            return NO_GUIDE
        expected = stream.tracker.expected(stream.time.expected_at(frame))
        return Guide(stream.guide.prompted, np.concatenate((stream.guide.expected, expected)))

    def _answerable(self, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
        for prompt in prompts:
            if isinstance(prompt, TextPrompt) and self._text is None:
                raise ConfigError(
                    f"prompt {prompt.prompt_id!r} is a text, and nothing here can read; configure text encoders, or ask"
                    " with points, a box or a mask"
                )
            if isinstance(prompt, TextPrompt) and self._text is not None:
                self._text.prepare()
            if isinstance(prompt, MaskPrompt) and self._is_reference:
                raise ConfigError(
                    f"prompt {prompt.prompt_id!r} is a mask, which reference prompting does not take; ask with points"
                    " or a box, or set prompting to default"
                )
        return tuple(prompts)

    def _track(self, stream: _Stream, instances: Instances, time_seconds: float) -> Tracked:
        if self._tracking.enabled:
            return stream.tracker.update(instances, time_seconds)
        return Tracked(instances, torch.full((len(instances),), -1, dtype=torch.int64))

    def _placed_answers(self, frame: Frame, tracked: Tracked, asked: Asked, time_seconds: float) -> list[Selection]:
        """The answers to all prompts but texts."""
        if self._tracking.enabled:
            follower = self._followers.get(frame.source_id)
            if follower is None:
                follower = self._followers[frame.source_id] = PromptFollower()
            return follower.update(tracked, asked.placed, frame_index=frame.index, time_seconds=time_seconds)
        track_ids = tracked.track_ids.tolist()
        return [
            selection if isinstance(prompt, EverythingPrompt) else status_of(selection, track_ids)
            for prompt, selection in zip(asked.placed, select(tracked, asked.placed), strict=True)
        ]

    def _text_answers(self, stream: _Stream, frame: Frame, tracked: Tracked) -> list[Selection]:
        """The answers to the texts, each with a status."""
        texts = stream.asked.texts
        if not texts or self._text is None:
            stream.answered_texts = frozenset()
            return []
        with self.timer.stage("text"):
            given = self._text(frame, tracked, texts)
        keys = [(text.prompt_id, text.text) for text in texts]
        answered = {key for key, one in zip(keys, given, strict=True) if one.rows} | stream.answered_texts
        stream.answered_texts = frozenset(answered & set(keys))
        return [
            one if one.status is not None else replace(one, status=_text_status(one, key in stream.answered_texts))
            for key, one in zip(keys, given, strict=True)
        ]

    def _stream_of(self, frame: Frame, prompts: Sequence[Prompt]) -> _Stream:
        stream = self._streams.get(frame.source_id)
        if stream is None:
            stream = self._streams[frame.source_id] = _Stream(self._tracking, Asked.of(prompts, frame.source_id))
        if stream.asked.given is not prompts:
            stream.asked = Asked.of(prompts, frame.source_id)
        if stream.image_size != frame.size:
            stream.image_size = frame.size
            # A prompt may be meant for another source: it finds nothing here, which is no error, but not silent.
            try:
                check_prompts(stream.asked.prompts, frame.size)
            except DataError as error:
                logger.warning("source %s: %s", frame.source_id, error)
        return stream

    def _mask_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        height, width = image_size
        return max(round(height * self._mask_scale), 1), max(round(width * self._mask_scale), 1)


def _text_status(selection: Selection, was_answered: bool) -> PromptStatus:
    if not selection.rows:
        return PromptStatus(selection.prompt_id, "lost" if was_answered else "none")
    # Several objects may answer a text, so that none of their identities is that of the answer.
    return PromptStatus(selection.prompt_id, "bound", min(max(max(selection.scores), 0.0), 1.0))
