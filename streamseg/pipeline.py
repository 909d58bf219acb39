"""The stages composed: frames in, messages out. No threads, and no clock but the one given.

    segment ─► track ─► select ─► masks ─► Message          prompting="default"
    segment ─► reference boxes ─► track ─► reference masks ─► select ─► Message          prompting="reference"

`segment` takes a batch and needs the network; `finish` takes one frame and needs its source's tracker.
A runtime may run the two in two threads, each in one; called as a whole it runs both in turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from streamseg.answers import default_answers, reference_answers
from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError
from streamseg.prompting import check_prompts
from streamseg.segmentation.reference_masks import as_reference
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt, Prompt, Selection
from streamseg.telemetry import Drops, StageTimer
from streamseg.tracking import Tracker

__all__ = ["Pipeline", "Result", "SourceTime"]

logger = logging.getLogger(__name__)

SegmentFunction = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]
"""What a segmenter is to a pipeline: pictures uint8 (H, W, 3) RGB in, one Instances for each out."""


@dataclass(frozen=True, eq=False)
class Result:
    """All that is known about one frame in the end."""

    frame: Frame
    message: Message
    """What is published: the objects that answer a prompt."""
    tracked: Tracked
    """Every instance of the frame, asked for or not."""
    selections: tuple[Selection, ...]
    """One for each prompt, in the prompts' order; its rows are rows of `tracked`."""


class SourceTime:
    """Seconds of one source that never run backwards.

    Presentation times are exact, but start again when a camera comes back or a file is repeated; the
    time that really passed bridges such a step. A source without them goes by arrival.
    """

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._seconds = 0.0

    def at(self, frame: Frame) -> float:
        """Seconds of this frame since the source's first; frames come in order."""
        if self._last is not None:
            arrived_seconds = max(frame.received_ns - self._last.received_ns, 0) / 1e9
            step = None
            if frame.pts_seconds is not None and self._last.pts_seconds is not None:
                step = frame.pts_seconds - self._last.pts_seconds
            self._seconds += step if step is not None and step > 0 else arrived_seconds
        self._last = frame
        return self._seconds


class _Stream:
    """What is remembered of one source."""

    def __init__(self, tracking: TrackingConfig) -> None:
        self.tracker = Tracker(tracking)
        self.time = SourceTime()
        self.image_size: tuple[int, int] | None = None


class Pipeline:
    """From frames to messages, with one tracker for each source.

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

    Raises:
        ConfigError: reference masks are asked for at another size.
    """

    def __init__(
        self,
        segmenter: SegmentFunction,
        *,
        tracking: TrackingConfig | None = None,
        prompts: Sequence[Prompt] = (EverythingPrompt(),),
        mask_scale: float = 1.0,
        frame_ids: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        prompting: Literal["default", "reference"] = "default",
        retina_masks: bool = True,
    ) -> None:
        if prompting == "reference" and mask_scale != 1:
            raise ConfigError(f"reference masks have one size; set mask_scale to 1, got {mask_scale:g}")
        self._segmenter = segmenter
        self._tracking = tracking if tracking is not None else TrackingConfig()
        self._prompts = tuple(prompts)
        self._mask_scale = mask_scale
        self._frame_ids = dict(frame_ids or {})
        self._now_ns = now_ns
        self._is_reference = prompting == "reference"
        self._retina_masks = retina_masks
        self._streams: dict[str, _Stream] = {}
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
        """Ask something else from the next frame on; from any thread, a frame sees all of it or nothing."""
        self._prompts = tuple(prompts)

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended; should it come back, its identities start afresh."""
        self._streams.pop(source_id, None)

    def segment(self, frames: Sequence[Frame]) -> list[Instances]:
        """Everything in each frame, in the frames' order: the part that batches."""
        if not frames:
            return []
        with self.timer.stage("segment"):
            return list(self._segmenter([frame.image for frame in frames]))

    def finish(self, frame: Frame, instances: Instances, *, drops: Drops | None = None) -> Result:
        """Follow and choose the instances of one frame; the frames of a source come in order.

        Args:
            frame: the frame.
            instances: what `segment` found in it.
            drops: frames dropped so far, to be told to subscribers.
        """
        prompts = self._prompts
        stream = self._stream_of(frame, prompts)
        if self._is_reference:
            instances = as_reference(instances)
        with self.timer.stage("track"):
            tracked = self._track(stream, frame, instances)
        if self._is_reference:
            answers = reference_answers(tracked, prompts, retina_masks=self._retina_masks, timer=self.timer)
        else:
            answers = default_answers(tracked, prompts, mask_size=self._mask_size(frame.size), timer=self.timer)
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
            drops=drops if drops is not None else {},
        )
        return Result(frame, message, tracked, answers.selections)

    def _track(self, stream: _Stream, frame: Frame, instances: Instances) -> Tracked:
        if self._tracking.enabled:
            return stream.tracker.update(instances, stream.time.at(frame))
        return Tracked(instances, torch.full((len(instances),), -1, dtype=torch.int64))

    def _stream_of(self, frame: Frame, prompts: Sequence[Prompt]) -> _Stream:
        stream = self._streams.get(frame.source_id)
        if stream is None:
            stream = self._streams[frame.source_id] = _Stream(self._tracking)
        if stream.image_size != frame.size:
            stream.image_size = frame.size
            # A prompt may be meant for another source: it finds nothing here, which is no error, but not silent.
            try:
                check_prompts(prompts, frame.size)
            except DataError as error:
                logger.warning("source %s: %s", frame.source_id, error)
        return stream

    def _mask_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        height, width = image_size
        return max(round(height * self._mask_scale), 1), max(round(width * self._mask_scale), 1)
