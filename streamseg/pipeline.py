"""The stages composed: frames in, messages out. No threads, and no clock but the one given.

    segment ─► track ─► select ─► masks ─► Message          prompting="default"
    segment ─► reference boxes ─► track ─► reference masks ─► select ─► Message          prompting="reference"

`segment` takes a batch and needs the network; `finish` takes one frame and needs its source's tracker.
A runtime may run the two in two threads, each in one; called as a whole it runs both in turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError
from streamseg.prompting import check_prompts, select, select_reference
from streamseg.segmentation import instance_masks
from streamseg.segmentation.reference_masks import as_reference, native_masks, plain_masks, plain_size
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import CropMask, Message, MessageObject
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

    With `prompting="reference"`, prompts are answered as by the official FastSAM program: the rule for
    objects that fill the picture, its retina (or plain) masks, points merged into one mask by painting,
    boxes without a threshold. A merged mask is in the message an object of its own, with `track_id` -1,
    the box around its pixels and the best score of the instances on it. Not reproduced: detections lost
    when its suppression runs out of time, the rule's application to the first picture of a batch alone,
    None where it raises (nothing found, two objects that fill the picture), the random colours.

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
        answer = (self._reference_answers if self._is_reference else self._answers)(tracked, prompts)
        message = Message(
            source_id=frame.source_id,
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            clock=frame.clock,
            age_ms=(self._now_ns() - frame.captured_ns) / 1e6,
            image_size=frame.size,
            mask_size=answer.mask_size,
            mask_to_image=answer.mask_to_image,
            objects=answer.objects,
            pts_seconds=frame.pts_seconds,
            frame_id=self._frame_ids.get(frame.source_id, ""),
            drops=drops if drops is not None else {},
        )
        return Result(frame, message, tracked, answer.selections)

    def _answers(self, tracked: Tracked, prompts: Sequence[Prompt]) -> _Answers:
        with self.timer.stage("select"):
            selections = tuple(select(tracked, prompts))
        with self.timer.stage("masks"):
            instances = tracked.instances
            size = self._mask_size(instances.image_size)
            objects = _objects(tracked, selections, lambda rows: instance_masks(instances, rows, size=size))
        return _Answers(selections, objects, size, _stretch(size, instances.image_size))

    def _reference_answers(self, tracked: Tracked, prompts: Sequence[Prompt]) -> _Answers:
        instances = tracked.instances
        size, to_image = instances.image_size, (1.0, 1.0, 0.0, 0.0)
        with self.timer.stage("masks"):
            if self._retina_masks or not len(instances):
                masks = native_masks(instances)
            else:
                masks, size = plain_masks(instances), plain_size(instances)
                cells = instances.mask_logits.shape[2] / size[1], instances.mask_logits.shape[1] / size[0]
                place = instances.grid_to_image
                to_image = (place.scale_x * cells[0], place.scale_y * cells[1], place.offset_x, place.offset_y)
        with self.timer.stage("select"):
            scores = instances.scores.tolist()
            selections = tuple(
                select_reference(masks, scores, prompts, mask_size=size, image_size=instances.image_size)
            )
            objects = _objects(tracked, selections, lambda rows: [masks[row] for row in rows])
            objects += tuple(_merged_objects(selections, to_image))
        return _Answers(selections, tuple(sorted(objects, key=lambda one: -one.score)), size, to_image)

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


@dataclass(frozen=True, eq=False)
class _Answers:
    """What is in a frame for those who asked."""

    selections: tuple[Selection, ...]
    objects: tuple[MessageObject, ...]
    mask_size: tuple[int, int]
    mask_to_image: tuple[float, float, float, float]


def _stretch(mask_size: tuple[int, int], image_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Mask space to picture where the one is the other, larger or smaller."""
    return image_size[1] / mask_size[1], image_size[0] / mask_size[0], 0.0, 0.0


def _objects(
    tracked: Tracked, selections: Sequence[Selection], masks_of: Callable[[list[int]], Sequence[CropMask]]
) -> tuple[MessageObject, ...]:
    """The rows that answer at least one prompt, by descending score; only these get pixels."""
    prompt_ids: dict[int, list[str]] = {}
    for selection in selections:
        for row in selection.rows if selection.mask is None else ():
            prompt_ids.setdefault(row, []).append(selection.prompt_id)
    rows = sorted(prompt_ids)
    if not rows:
        return ()
    instances = tracked.instances
    masks = masks_of(rows)
    boxes, scores = instances.boxes[rows].tolist(), instances.scores[rows].tolist()
    track_ids = tracked.track_ids[rows].tolist()
    return tuple(
        MessageObject(
            track_id=track_id,
            prompt_ids=tuple(prompt_ids[row]),
            box=(box[0], box[1], box[2], box[3]),
            score=score,
            mask=mask,
            area=mask.area,
        )
        for row, track_id, box, score, mask in zip(rows, track_ids, boxes, scores, masks, strict=True)
    )


def _merged_objects(
    selections: Sequence[Selection], mask_to_image: tuple[float, float, float, float]
) -> Iterator[MessageObject]:
    """Masks that are no single instance; without an identity, as nothing follows them."""
    scale_x, scale_y, offset_x, offset_y = mask_to_image
    for selection in selections:
        if (mask := selection.mask) is not None:
            height, width = mask.crop.shape
            x0, y0 = mask.x * scale_x + offset_x, mask.y * scale_y + offset_y
            yield MessageObject(
                track_id=-1,
                prompt_ids=(selection.prompt_id,),
                box=(x0, y0, x0 + width * scale_x, y0 + height * scale_y),
                score=max(selection.scores),
                mask=mask,
                area=mask.area,
            )
