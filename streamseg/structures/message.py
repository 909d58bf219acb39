"""The objects of one frame, as published to subscribers, and their conversion to arrays. Requires only NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.structures.arrays import BoolArray, Float32Array, IndexArray
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.frame import Clock
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.zone import ZoneStatus

__all__ = [
    "DetectionArrays",
    "MaskSource",
    "Message",
    "MessageObject",
    "PromptState",
    "PromptStatus",
    "detection_arrays",
]

PromptState = Literal["bound", "lost", "reacquired", "none"]
"""State of a prompt in one frame.

bound        its target is visible, or the whole that the target is a part of (with half the confidence); matched by
             identity
lost         its target is not visible; the prompt waits for it
reacquired   its target disappeared and was found again under another identity, by motion, shape and appearance
none         no object has matched it; after some frames the search ends, see `prompting.PromptTracker`
"""

MaskSource = Literal["proposal", "propagated", "quality", "memory"]
"""Source of a selected mask.

proposal     an instance that the network found in the frame
propagated   the mask of earlier frames, moved to where their features are; no instance agrees with it
quality      an object's mask from the promptable model of the quality tier
memory       the mask that the video model of the memory tier sees
"""

POSSIBLY_LOST_CONFIDENCE: Final = 0.25
"""Confidence below which a followed object is more likely another one."""
UNCERTAIN_MASK_QUALITY: Final = 0.5
"""Expected IoU below which a mask is more likely wrong than right."""


@dataclass(frozen=True, eq=False)
class MessageObject:
    """One object of a frame."""

    track_id: int
    """Stable identity; -1 while tentative and for a mask merged from several instances."""
    prompt_ids: tuple[str, ...]
    """Ids of the prompts that it matches."""
    box: tuple[float, float, float, float]
    """Box xyxy in continuous pixels of the source image."""
    score: float
    """Score, 0..1."""
    mask: CropMask
    """Mask in the mask space, which is the source image unless the message specifies another one."""
    area: int = 0
    """Number of pixels of the mask, in the mask space."""
    label: str | None = None
    """Class name; None if the object has none."""

    @property
    def centroid(self) -> tuple[float, float]:
        """Centroid (x, y) of the mask in continuous pixels of the source image.

        The centre of the box if the mask is empty or its mask space is unknown.
        """
        centre = self.mask.centroid if self.mask.space is not None else None
        return centre or ((self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2)


@dataclass(frozen=True)
class PromptStatus:
    """State of one prompt in one frame."""

    prompt_id: str
    state: PromptState
    confidence: float = 0.0
    """Confidence that the object is the intended target, 0..1; 0 while lost or if there is no target."""
    track_id: int = -1
    """Track id of the matched object; the last one while lost; -1 while there is none, and for text prompts."""
    mask_quality: float | None = None
    """Expected IoU of the selected mask, of the best one if there are several, with the intended target, 0..1; None if
    no mask is selected or its quality is unknown."""
    mask_source: MaskSource | None = "proposal"
    """Source of the selected mask; always None in the states without one, `lost` and `none`."""

    def __post_init__(self) -> None:
        if self.state in ("lost", "none"):
            object.__setattr__(self, "mask_source", None)

    @property
    def words(self) -> str:
        """The state in words, as the page and overlays show it.

        `followed`, `found` (without a track id: seen too briefly, or not followed), `found again`, each also with
        `, mask uncertain`; `possibly lost`, `lost`, `nothing found`.
        """
        if self.state not in ("bound", "reacquired"):
            return "lost" if self.state == "lost" else "nothing found"
        if self.track_id >= 0 and self.confidence < POSSIBLY_LOST_CONFIDENCE:
            return "possibly lost"
        words = "found again" if self.state == "reacquired" else "followed" if self.track_id >= 0 else "found"
        is_uncertain = self.mask_quality is not None and self.mask_quality < UNCERTAIN_MASK_QUALITY
        return f"{words}, mask uncertain" if is_uncertain else words


@dataclass(frozen=True, eq=False)
class Message:
    """The published result of one frame. Holds no torch tensor and no socket."""

    source_id: str
    frame_index: int
    """`Frame.index`, which counts the frames that the source delivered."""
    captured_ns: int
    """Wall clock (ns since the Unix epoch) of the capture."""
    clock: Clock
    """Origin of `captured_ns`."""
    age_ms: float
    """Age of the frame when the message was created."""
    image_size: tuple[int, int]
    """Size (H, W) of the source image."""
    mask_size: tuple[int, int]
    """Size (H, W) of the mask space; equals `image_size` unless another mask size is configured."""
    mask_to_image: tuple[float, float, float, float]
    """(scale_x, scale_y, offset_x, offset_y): x_image = scale_x * x_mask + offset_x, continuous coordinates."""
    objects: tuple[MessageObject, ...]
    pts_seconds: float | None = None
    frame_id: str = ""
    """Name of the coordinate frame, for robots (ROS `header.frame_id`)."""
    prompts: tuple[PromptStatus, ...] = ()
    """Status of each prompt that targets specific objects of this source, with or without a match."""
    drops: dict[str, dict[str, int]] = field(default_factory=dict)
    """Number of frames dropped so far, by stage and reason: {"capture": {"newer_frame": 3}}."""
    degradation: Degradation = NO_DEGRADATION
    """Reduced quality of this frame, because the machine is too slow for the deadline of its source."""
    zones: tuple[ZoneStatus, ...] = ()
    """State of each zone and line of this source."""
    jpeg: bytes | None = None
    """Image as JPEG; None if it has no subscriber."""
    epoch: str = ""
    """Identifies one run of the publisher; `seq` restarts with it. Set by the publisher."""
    seq: int = -1
    """Number of the message of this source within the epoch. Set by the publisher."""

    @property
    def mask_space(self) -> MaskSpace:
        """Transform from mask pixels to the source image."""
        return MaskSpace(self.mask_size, self.image_size, self.mask_to_image)

    def of(self, prompt_id: str) -> tuple[MessageObject, ...]:
        """Return the objects that match a prompt, best first; empty if none match or the prompt is unknown."""
        return tuple(found for found in self.objects if prompt_id in found.prompt_ids)

    def prompt(self, prompt_id: str) -> PromptStatus | None:
        """Return the status of a prompt that targets specific objects; None if this source has no such prompt (yet)."""
        return next((status for status in self.prompts if status.prompt_id == prompt_id), None)

    def to_supervision(self, *, classes: Sequence[str] | None = None) -> Any:
        """Return the objects as `supervision.Detections`, with masks at the size of the source image.

        `data` holds `class_name` (the labels, where supervision's annotators expect them) and `prompt_ids`. Tentative
        objects have tracker id -1, which supervision's traces and line counters treat as an identity:
        `detections[detections.tracker_id >= 0]` removes them.

        Args:
            classes: labels by class id, see `detection_arrays`.

        Raises:
            DataError: supervision is not installed.
        """
        return _to_supervision(detection_arrays(self, classes=classes))


@dataclass(frozen=True, eq=False)
class DetectionArrays:
    """The N objects of a message as one array per property, in the message's order; N may be 0."""

    xyxy: Float32Array
    """Boxes (N, 4) in continuous pixels of the source image."""
    mask: BoolArray
    """Masks (N, H, W) at the size of the source image."""
    confidence: Float32Array
    """Scores (N,), 0..1."""
    class_id: IndexArray
    """Class ids (N,)."""
    tracker_id: IndexArray
    """Track ids (N,); -1 while tentative."""
    labels: npt.NDArray[np.str_]
    """Labels (N,); "" if an object has none."""
    prompt_ids: npt.NDArray[np.object_]
    """Tuples of text (N,): ids of the prompts that each object matches."""


def detection_arrays(message: Message, *, classes: Sequence[str] | None = None) -> DetectionArrays:
    """Return the objects of a message as arrays.

    Args:
        message: its objects; without any, the arrays have length 0 and the masks shape (0, H, W).
        classes: labels by class id; an object with another label, or with none, gets class -1. None: every object
            gets class 0, because labels are free text without class ids.
    """
    objects, space = message.objects, message.mask_space
    height, width = message.image_size
    mask = np.zeros((len(objects), height, width), dtype=np.bool_)
    for canvas, found in zip(mask, objects, strict=True):
        replace(found.mask, space=space).paint(canvas)
    ids_by_label = None if classes is None else {label: class_id for class_id, label in enumerate(classes)}
    class_ids = [0 if ids_by_label is None else ids_by_label.get(found.label or "", -1) for found in objects]
    return DetectionArrays(
        xyxy=np.array([found.box for found in objects], dtype=np.float32).reshape(-1, 4),
        mask=mask,
        confidence=np.array([found.score for found in objects], dtype=np.float32),
        class_id=np.array(class_ids, dtype=np.int64),
        tracker_id=np.array([found.track_id for found in objects], dtype=np.int64),
        labels=np.array([found.label or "" for found in objects], dtype=np.str_),
        # `np.array` would turn tuples of equal length into a second axis.
        prompt_ids=np.fromiter((found.prompt_ids for found in objects), dtype=np.object_, count=len(objects)),
    )


def _to_supervision(arrays: DetectionArrays) -> Any:
    """Return arrays as `supervision.Detections`; raise DataError if supervision is not installed."""
    try:
        # Imported here, because it loads hundreds of megabytes that a subscriber does not need otherwise.
        from supervision import Detections  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        if error.name != "supervision":
            raise
        raise DataError(
            "to_supervision() needs the package supervision, which is not installed; run: pip install supervision"
        ) from error
    return Detections(
        xyxy=arrays.xyxy,
        mask=arrays.mask,
        confidence=arrays.confidence,
        class_id=arrays.class_id,
        tracker_id=arrays.tracker_id,
        data={"class_name": arrays.labels, "prompt_ids": arrays.prompt_ids},
    )
