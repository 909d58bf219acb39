"""Convert messages to the formats of other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.structures.arrays import BoolArray, Float32Array, IndexArray

if TYPE_CHECKING:
    # For annotations only, because `Message.to_supervision` imports this module.
    from streamseg.structures.message import Message

__all__ = ["DetectionArrays", "detection_arrays", "to_supervision"]


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


def to_supervision(message: Message, *, classes: Sequence[str] | None = None) -> Any:
    """Return the objects of a message as `supervision.Detections`.

    `data` holds `class_name` (the labels, where supervision's annotators expect them) and `prompt_ids`. Tentative
    objects have tracker id -1, which supervision's traces and line counters treat as an identity:
    `detections[detections.tracker_id >= 0]` removes them.

    Raises:
        DataError: supervision is not installed.
    """
    try:
        # Imported here, because it loads hundreds of megabytes that a subscriber does not need otherwise.
        from supervision import Detections  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        if error.name != "supervision":
            raise
        raise DataError(
            "to_supervision() needs the package supervision, which is not installed; run: pip install supervision"
        ) from error
    arrays = detection_arrays(message, classes=classes)
    return Detections(
        xyxy=arrays.xyxy,
        mask=arrays.mask,
        confidence=arrays.confidence,
        class_id=arrays.class_id,
        tracker_id=arrays.tracker_id,
        data={"class_name": arrays.labels, "prompt_ids": arrays.prompt_ids},
    )
