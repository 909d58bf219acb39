"""Messages in the form that other libraries work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.structures.message import Message

__all__ = ["DetectionArrays", "detection_arrays", "to_supervision"]


@dataclass(frozen=True, eq=False)
class DetectionArrays:
    """The N objects of a message, an array per property, in the message's order; N may be 0."""

    xyxy: npt.NDArray[np.float32]
    """(N, 4), continuous pixels of the source image."""
    mask: npt.NDArray[np.bool_]
    """(N, H, W) at the size of the source image."""
    confidence: npt.NDArray[np.float32]
    """(N,), 0..1."""
    class_id: npt.NDArray[np.int64]
    """(N,)"""
    tracker_id: npt.NDArray[np.int64]
    """(N,); -1 while tentative."""
    labels: npt.NDArray[np.str_]
    """(N,); "" where nothing named the object."""
    prompt_ids: npt.NDArray[np.object_]
    """(N,) of tuples of text: the prompts that each object answers."""


def detection_arrays(message: Message, *, classes: Sequence[str] | None = None) -> DetectionArrays:
    """The objects of a message as arrays.

    Args:
        message: whose objects; none gives arrays of length 0, the masks still (0, H, W).
        classes: labels by class id; an object with another label, or none, has class -1. None: every object
            has class 0, since labels are free text and have no numbers of their own.
    """
    objects, space = message.objects, message.mask_space
    height, width = message.image_size
    mask = np.zeros((len(objects), height, width), dtype=np.bool_)
    for canvas, found in zip(mask, objects, strict=True):
        replace(found.mask, space=space).paint(canvas)
    numbers = None if classes is None else {label: number for number, label in enumerate(classes)}
    class_ids = [0 if numbers is None else numbers.get(found.label or "", -1) for found in objects]
    return DetectionArrays(
        xyxy=np.array([found.box for found in objects], dtype=np.float32).reshape(-1, 4),
        mask=mask,
        confidence=np.array([found.score for found in objects], dtype=np.float32),
        class_id=np.array(class_ids, dtype=np.int64),
        tracker_id=np.array([found.track_id for found in objects], dtype=np.int64),
        labels=np.array([found.label or "" for found in objects], dtype=np.str_),
        # An array made of equally long tuples would have a second axis.
        prompt_ids=np.fromiter((found.prompt_ids for found in objects), dtype=np.object_, count=len(objects)),
    )


def to_supervision(message: Message, *, classes: Sequence[str] | None = None) -> Any:
    """The objects of a message as `supervision.Detections`.

    Its `data` holds `class_name` (the labels, where supervision's annotators look for them) and
    `prompt_ids`. Tentative objects have the tracker id -1, which supervision's traces and line counters
    take for an identity: `detections[detections.tracker_id >= 0]` leaves them out.

    Raises:
        DataError: supervision is not installed.
    """
    try:
        # Imported here, because it brings hundreds of megabytes that a subscriber needs for nothing else.
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
