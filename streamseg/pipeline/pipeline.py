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
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError
from streamseg.fastsam.reference_masks import as_reference
from streamseg.pipeline.compose import Answers, default_answers, reference_answers
from streamseg.pipeline.guidance import GuidedSegmenter, guide_of_answers
from streamseg.pipeline.result import FrameResult
from streamseg.pipeline.stream import Stream, Streams
from streamseg.prompting import PlacedPrompts, check_prompts
from streamseg.prompting.text import TextMatcher, TextPrompts
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt, MaskPrompt, Prompt, Selection, TextPrompt
from streamseg.telemetry import Drops, StageTimer

__all__ = ["FrameResult", "Pipeline", "TextMatcher"]

logger = logging.getLogger(__name__)

SegmentFunction = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]
"""What a segmenter is to a pipeline: pictures uint8 (H, W, 3) RGB in, one Instances for each out."""


class Pipeline:
    """From frames to messages, with one tracker and one follower of prompts for each source.

    A prompt that means a place (points, a box, a mask) is bound to the object that answers it, and stays with that:
    see `prompting.PromptTracker`. Where nothing is tracked, with `follow=False` and with reference prompting, it is
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
        text: TextMatcher | None = None,
        prompt_memory: Mapping[str, object] | None = None,
    ) -> None:
        if prompting == "reference" and mask_scale != 1:
            raise ConfigError(f"reference masks have one size; set mask_scale to 1, got {mask_scale:g}")
        tracking = tracking if tracking is not None else TrackingConfig()
        self._segmenter = segmenter
        self._is_reference = prompting == "reference"
        self._texts = TextPrompts(text)
        self._prompts = self._answerable(prompts)
        self._mask_scale = mask_scale
        self._frame_ids = dict(frame_ids or {})
        self._now_ns = now_ns
        self._retina_masks = retina_masks
        self._streams = Streams(tracking)
        self._placed = PlacedPrompts(are_followed=tracking.enabled, memory=prompt_memory)
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
        return self._streams.image_sizes

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
        return self._placed.memory()

    def remember(self, memory: Mapping[str, object]) -> None:
        """Look for the objects of an earlier run's prompts: those of the same id that mean the same place.

        To be called before the first frame of the sources that it names; what they knew of their prompts is forgotten.

        Args:
            memory: what `prompt_memory()` gave.

        Raises:
            DataError: it is something else; then nothing of it is taken.
        """
        self._placed.remember(memory)

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended; should it come back, its identities start afresh.

        Its prompts stay: they are lost, and look for their objects by their looks.
        """
        self._streams.end_source(source_id)
        self._texts.end_source(source_id)
        self._placed.end_source(source_id)

    def segment(self, frames: Sequence[Frame]) -> list[Instances]:
        """Everything in each frame, in the frames' order: the part that batches."""
        if not frames:
            return []
        with self.timer.stage("segment"):
            images = [frame.image for frame in frames]
            if self._is_reference or not isinstance(self._segmenter, GuidedSegmenter):
                return list(self._segmenter(images))
            return list(self._segmenter.guided(images, [self._streams.guide(frame, self._prompts) for frame in frames]))

    def finish(self, frame: Frame, instances: Instances, *, drops: Drops | None = None) -> FrameResult:
        """Follow and choose the instances of one frame; the frames of a source come in order.

        Args:
            frame: the frame.
            instances: what `segment` found in it.
            drops: frames dropped so far, to be told to subscribers.
        """
        stream = self._stream_of(frame)
        if self._is_reference:
            instances = as_reference(instances)
        time_seconds = stream.time.at(frame)
        with self.timer.stage("track"):
            tracked = stream.track(instances, time_seconds)
        texts = self._texts.answers(frame, tracked, stream.asked.texts, timer=self.timer)
        if self._is_reference:
            asked, retina_masks = stream.asked, self._retina_masks
            answers = reference_answers(
                tracked, asked.prompts, texts=texts, labels=asked.labels, retina_masks=retina_masks, timer=self.timer
            )
        else:
            answers = self._default_answers(frame, tracked, stream, texts, time_seconds)
        frame_id = self._frame_ids.get(frame.source_id, "")
        return FrameResult.of(frame, tracked, answers, now_ns=self._now_ns(), frame_id=frame_id, drops=drops)

    def _default_answers(
        self, frame: Frame, tracked: Tracked, stream: Stream, texts: Sequence[Selection], time_seconds: float
    ) -> Answers:
        """Ours; what they leave open guides the segmenter in the next frame."""
        asked = stream.asked
        with self.timer.stage("select"):
            selections = self._placed.answers(
                frame.source_id, tracked, asked.placed, frame_index=frame.index, time_seconds=time_seconds
            )
        stream.guide = guide_of_answers(
            asked.placed, selections, tracked, place=partial(self._placed.place, frame.source_id)
        )
        if texts:
            placed, spoken = iter(selections), iter(texts)
            selections = [next(spoken if isinstance(one, TextPrompt) else placed) for one in asked.prompts]
        return default_answers(
            tracked, selections, mask_size=self._mask_size(frame.size), timer=self.timer, labels=asked.labels
        )

    def _answerable(self, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
        for prompt in prompts:
            if isinstance(prompt, TextPrompt):
                self._texts.prepare(prompt)
            if isinstance(prompt, MaskPrompt) and self._is_reference:
                raise ConfigError(
                    f"prompt {prompt.prompt_id!r} is a mask, which reference prompting does not take; ask with points"
                    " or a box, or set prompting to default"
                )
        return tuple(prompts)

    def _stream_of(self, frame: Frame) -> Stream:
        stream = self._streams.of(frame, self._prompts)
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
