"""Methods that track one object through a sequence from a prompt in its first frame.

A `TrackingMethod` receives the prompt and the segmented frames and yields a mask for each frame:

    select_every_frame   selects again in each frame with the box of the last mask; uses no identities
    keep_track_id        selects once and keeps the track_id of the selected object
    track_prompt         the prompt tracker as in a live run: bound to a track, re-identified when the track is lost
    guided_tracking      a live run: like `track_prompt`, with search regions where the object is expected;
                         `guided_answers` adds the status of the prompt in each frame
    best_masks           an oracle that takes the mask closest to the ground truth: an upper bound for all methods
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamseg.config import TrackingConfig
from streamseg.evaluation.overlap import mask_iou
from streamseg.pipeline import Pipeline
from streamseg.pipeline.segment_function import SegmentFunction
from streamseg.prompting import PromptSet, PromptTracker, select
from streamseg.propagation import PropagationSettings
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt
from streamseg.tracking import Tracker

__all__ = [
    "TRACKING_METHODS",
    "SequenceFrame",
    "TrackingMethod",
    "best_masks",
    "crop_of",
    "first_prompts",
    "guided_answers",
    "guided_tracking",
    "keep_track_id",
    "select_every_frame",
    "track_prompt",
]

_EMPTY = CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)


@dataclass(frozen=True, eq=False)
class SequenceFrame:
    """Input of a tracking method for one frame."""

    image: ImageArray
    """(H, W, 3) RGB."""
    instances: Instances
    time_seconds: float


TrackingMethod = Callable[[SpatialPrompt, Iterable[SequenceFrame]], Iterator[CropMask]]
"""Maps a prompt in the first frame and frames in temporal order to one mask per frame; empty if it is not visible."""


def select_every_frame(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """Select with the prompt first, then in each frame with the box of the last mask.

    If nothing is selected, the box stays where it is.
    """
    for frame in frames:
        rows = _select(prompt, frame.instances)
        mask = instance_masks(frame.instances, list(rows))[0] if rows else _EMPTY
        if mask.crop.size:
            prompt = BoxPrompt(prompt.prompt_id, _box(mask))
        yield mask


def keep_track_id(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """Keep the track selected in the first frame with a match; yield an empty mask while the track is lost."""
    tracker = Tracker(TrackingConfig(confirm_frames=1))  # the selected object needs an identity immediately
    track_id: int | None = None
    for frame in frames:
        tracked = tracker.update(frame.instances, frame.time_seconds)
        ids = tracked.track_ids.tolist()
        if track_id is None:
            known = [row for row, identity in enumerate(ids) if identity >= 0]
            selected = _select(prompt, frame.instances[known])
            track_id = ids[known[selected[0]]] if selected else None
        rows = [row for row, identity in enumerate(ids) if identity == track_id]
        yield instance_masks(frame.instances, rows)[0] if rows else _EMPTY


def track_prompt(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """Run tracker and prompt tracker with the defaults of a live run; yield an empty mask while the object is lost."""
    tracker, prompt_tracker, prompts = Tracker(TrackingConfig()), PromptTracker(), PromptSet.of((prompt,))
    for index, frame in enumerate(frames):
        tracked = tracker.update(frame.instances, frame.time_seconds)
        (selection,) = prompt_tracker.update(tracked, prompts, frame_index=index, time_seconds=frame.time_seconds)
        yield instance_masks(frame.instances, list(selection.rows))[0] if selection.rows else _EMPTY


def guided_tracking(segmenter: SegmentFunction) -> TrackingMethod:
    """Return a method that runs the whole pipeline: each frame is segmented with search regions from earlier frames."""

    def track(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
        return (mask for mask, _ in guided_answers(segmenter, prompt, frames))

    return track


def guided_answers(
    segmenter: SegmentFunction,
    prompt: SpatialPrompt,
    frames: Iterable[SequenceFrame],
    *,
    propagation: PropagationSettings | None = None,
) -> Iterator[tuple[CropMask, PromptStatus]]:
    """Yield the mask of each frame, empty if nothing is selected, and the status of the prompt, as in a live run.

    Args:
        segmenter: segments each frame, with search regions.
        prompt: the prompt, from the first frame on.
        frames: the frames; their instances are not used.
        propagation: settings of the propagation of masks; None for the defaults.
    """
    pipeline = Pipeline(segmenter, prompts=(prompt,), propagation=propagation)
    for index, sequence_frame in enumerate(frames):
        time_ns = round(sequence_frame.time_seconds * 1e9)
        frame = Frame(
            image=sequence_frame.image,
            source_id="sequence",
            index=index,
            pts_seconds=sequence_frame.time_seconds,
            captured_ns=time_ns,
            clock="arrival",
            received_ns=time_ns,
        )
        message = pipeline([frame])[0]
        (status,) = message.prompts
        selected = message.of(prompt.prompt_id)
        yield selected[0].mask if selected else _EMPTY, status


TRACKING_METHODS: Mapping[str, TrackingMethod] = {
    "selection": select_every_frame,
    "track": keep_track_id,
    "prompt": track_prompt,
}
"""Methods by their key in result files."""


def best_masks(truth: Sequence[CropMask], frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """Yield the mask of each frame with the highest IoU with the ground truth."""
    for true_mask, frame in zip(truth, frames, strict=True):
        masks = instance_masks(frame.instances)
        yield max(masks, key=lambda mask: mask_iou(mask, true_mask), default=_EMPTY)


def first_prompts(truth: MaskArray) -> dict[str, SpatialPrompt]:
    """Return the box of a non-empty mask (H, W) and its innermost point, the one farthest from the outline."""
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    # The image border counts as outline, too.
    depth = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return {"box": BoxPrompt("box", box), "1 point": PointPrompt("1 point", ((x + 0.5, y + 0.5),), (1,))}


def _select(prompt: SpatialPrompt, instances: Instances) -> tuple[int, ...]:
    """Return the row of the best match; empty if nothing matches."""
    tracked = Tracked(instances, instances.scores.new_full((len(instances),), -1).long())
    return select(tracked, [prompt])[0].rows


def _box(mask: CropMask) -> tuple[float, float, float, float]:
    """Return the tight xyxy box of a non-empty mask."""
    tight = crop_of(mask.crop)
    height, width = tight.crop.shape
    return (mask.x + tight.x, mask.y + tight.y, mask.x + tight.x + width, mask.y + tight.y + height)


def crop_of(mask: MaskArray) -> CropMask:
    """Crop a mask (H, W) to its tight box; empty if the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return _EMPTY
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(crop, int(columns[0]), int(rows[0]))
