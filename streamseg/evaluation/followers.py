"""Ways to follow one object through a film, from a prompt in its first frame.

A `Follower` gets the prompt and the frames, each segmented already, and gives a mask for each:

    follow_selection   asks again in each frame, with the box of the last mask; knows no identities
    follow_track       asks once, and stays with the track_id of the answer
    follow_prompt      the prompt follower as a live run has it: bound to a track, found again when that is lost
    guided_follower    a live run: as before, and the segmenter looks more closely where the object is expected
    best_masks         looks at the truth and takes the best mask there is: what no follower can exceed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.config import TrackingConfig
from streamseg.evaluation.overlap import mask_iou
from streamseg.pipeline import Pipeline
from streamseg.pipeline.guidance import GuidedSegmenter
from streamseg.prompting import PromptTracker, select
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt
from streamseg.tracking import Tracker

__all__ = [
    "FOLLOWERS",
    "Follower",
    "SequenceFrame",
    "best_masks",
    "crop_of",
    "first_prompts",
    "follow_prompt",
    "follow_selection",
    "follow_track",
    "guided_follower",
]

_NOTHING = CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)


@dataclass(frozen=True, eq=False)
class SequenceFrame:
    """One frame, as a follower sees it."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB."""
    instances: Instances
    time_seconds: float


Follower = Callable[[SpatialPrompt, Iterable[SequenceFrame]], Iterator[CropMask]]
"""A prompt of the first frame, and frames in the order of time, to one mask per frame; empty where it is not seen."""


def follow_selection(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """The answer to the prompt, then in each frame the answer to the box of the last mask.

    Where nothing answers, the box waits where it is.
    """
    for frame in frames:
        rows = _answer(prompt, frame.instances)
        mask = instance_masks(frame.instances, list(rows))[0] if rows else _NOTHING
        if mask.crop.size:
            prompt = BoxPrompt(prompt.prompt_id, _box(mask))
        yield mask


def follow_track(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """The track that answers the prompt in the first frame in which something answers; nothing where it is lost."""
    tracker = Tracker(TrackingConfig(confirm_frames=1))  # the answer needs an identity at once
    track_id: int | None = None
    for frame in frames:
        tracked = tracker.update(frame.instances, frame.time_seconds)
        ids = tracked.track_ids.tolist()
        if track_id is None:
            known = [row for row, identity in enumerate(ids) if identity >= 0]
            answer = _answer(prompt, frame.instances[known])
            track_id = ids[known[answer[0]]] if answer else None
        rows = [row for row, identity in enumerate(ids) if identity == track_id]
        yield instance_masks(frame.instances, rows)[0] if rows else _NOTHING


def follow_prompt(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """The prompt follower over a tracker with the settings of a live run; nothing while the object is lost."""
    tracker, follower, prompts = Tracker(TrackingConfig()), PromptTracker(), (prompt,)
    for index, frame in enumerate(frames):
        tracked = tracker.update(frame.instances, frame.time_seconds)
        (selection,) = follower.update(tracked, prompts, frame_index=index, time_seconds=frame.time_seconds)
        yield instance_masks(frame.instances, list(selection.rows))[0] if selection.rows else _NOTHING


def guided_follower(segmenter: GuidedSegmenter) -> Follower:
    """The whole pipeline: each frame is segmented anew, with what the frames before it tell."""

    def follow(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
        pipeline = Pipeline(segmenter, prompts=(prompt,))
        for index, shown in enumerate(frames):
            time_ns = round(shown.time_seconds * 1e9)
            frame = Frame(
                image=shown.image,
                source_id="film",
                index=index,
                pts_seconds=shown.time_seconds,
                captured_ns=time_ns,
                clock="arrival",
                received_ns=time_ns,
            )
            result = pipeline.finish(frame, pipeline.segment([frame])[0])
            (selection,) = result.selections
            rows = list(selection.rows)
            yield instance_masks(result.tracked.instances, rows)[0] if rows else _NOTHING

    return follow


FOLLOWERS: Mapping[str, Follower] = {"selection": follow_selection, "track": follow_track, "prompt": follow_prompt}


def best_masks(truth: Sequence[CropMask], frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
    """The mask of each frame that is most like the truth."""
    for true_mask, frame in zip(truth, frames, strict=True):
        masks = instance_masks(frame.instances)
        yield max(masks, key=lambda mask: mask_iou(mask, true_mask), default=_NOTHING)


def first_prompts(truth: npt.NDArray[np.bool_]) -> dict[str, SpatialPrompt]:
    """The box of a mask (H, W), not empty, and the point in it that is farthest from its outline."""
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    # The picture's border is an outline, too.
    depth = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return {"box": BoxPrompt("box", box), "1 point": PointPrompt("1 point", ((x + 0.5, y + 0.5),), (1,))}


def _answer(prompt: SpatialPrompt, instances: Instances) -> tuple[int, ...]:
    """The row that answers best, or none."""
    tracked = Tracked(instances, instances.scores.new_full((len(instances),), -1).long())
    return select(tracked, [prompt])[0].rows


def _box(mask: CropMask) -> tuple[float, float, float, float]:
    """The tight box of a mask that is not empty."""
    tight = crop_of(mask.crop)
    height, width = tight.crop.shape
    return (mask.x + tight.x, mask.y + tight.y, mask.x + tight.x + width, mask.y + tight.y + height)


def crop_of(mask: npt.NDArray[np.bool_]) -> CropMask:
    """The pixels of a mask (H, W) in their tight box; empty where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return _NOTHING
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(crop, int(columns[0]), int(rows[0]))
