"""The tracks of one tracker as an immutable table with a row per track; methods return a new table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array, IndexArray
from streamseg.structures.instances import TENTATIVE
from streamseg.tracking.appearance import Appearance
from streamseg.tracking.association import Expectation
from streamseg.tracking.looks import mixed_looks
from streamseg.tracking.motion import Motion

__all__ = ["Tracks"]

WHOLE_UPDATE_SHARE = 0.9
"""Visible share of the whole box from which the whole mask is updated."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Table of T tracks."""

    ids: IndexArray
    """(T,) identities; `TENTATIVE` until confirmed."""
    credit: Float64Array
    """(T,) number of frames in which the track was seen, each weighted: less if it may be another outline of an
    older track."""
    lost_seconds: Float64Array
    """(T,) time since the first frame without the track; NaN for one seen in the last frame."""
    motion: Motion
    """Filter states of the whole objects."""
    visible: Appearance
    """Appearance when last seen, moved to the current positions."""
    whole_shapes: BoolArray
    """(T, R, R) masks when last unoccluded."""
    looks: Float32Array
    """(T, D) running means of the embeddings, of unit length; 0 if unknown. D is 0 without embeddings."""

    @classmethod
    def start(
        cls, objects: Appearance, looks: Float32Array, credit: Float64Array, image_size: tuple[int, int]
    ) -> Tracks:
        """Create a tentative track for each object in an image of `image_size` (H, W).

        Args:
            objects: N objects.
            looks: (N, D) their embeddings.
            credit: (N,) weights of this frame.
            image_size: (H, W).
        """
        count = len(objects)
        return cls(
            ids=np.full(count, TENTATIVE, dtype=np.int64),
            credit=credit,
            lost_seconds=np.full(count, np.nan),
            motion=Motion.start(objects.boxes, image_size),
            visible=objects,
            whole_shapes=objects.shapes,
            looks=looks,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: IndexArray | BoolArray) -> Tracks:
        """Return the selected tracks."""
        return Tracks(
            self.ids[rows],
            self.credit[rows],
            self.lost_seconds[rows],
            self.motion[rows],
            self.visible[rows],
            self.whole_shapes[rows],
            self.looks[rows],
        )

    def __add__(self, other: Tracks) -> Tracks:
        """Concatenate the tracks of both, whose embeddings have the same length."""
        if not len(other):
            return self
        return Tracks(
            np.concatenate((self.ids, other.ids)),
            np.concatenate((self.credit, other.credit)),
            np.concatenate((self.lost_seconds, other.lost_seconds)),
            self.motion + other.motion,
            self.visible + other.visible,
            np.concatenate((self.whole_shapes, other.whole_shapes)),
            np.concatenate((self.looks, other.looks)),
        )

    @property
    def confirmed(self) -> BoolArray:
        """(T,) True for tracks with an identity, lost or not."""
        confirmed: BoolArray = self.ids != TENTATIVE
        return confirmed

    @property
    def lost(self) -> BoolArray:
        """(T,) True for tracks not seen in the last frame."""
        lost: BoolArray = ~np.isnan(self.lost_seconds)
        return lost

    @property
    def expectation(self) -> Expectation:
        """Prediction for the frame to which the tracks were advanced."""
        whole = Appearance(self.motion.boxes, self.whole_shapes)
        return Expectation(self.visible, whole, self.motion.deviation, self.lost)

    def with_ids(self, ids: IndexArray) -> Tracks:
        """Return a copy with other identities (T,)."""
        return replace(self, ids=ids)

    def with_look_length(self, length: int) -> Tracks:
        """Return a copy whose embeddings have `length` values; they become unknown if that is another length."""
        if self.looks.shape[1] == length:
            return self
        return replace(self, looks=np.zeros((len(self), length), dtype=np.float32))

    def advanced(self, elapsed_seconds: float) -> Tracks:
        """Return the tracks `elapsed_seconds` later, before any observation."""
        motion = self.motion.predicted(elapsed_seconds)
        return replace(
            self,
            lost_seconds=self.lost_seconds + elapsed_seconds,
            motion=motion,
            visible=self.visible.moved(motion.centre - self.motion.centre),
        )

    def visible_boxes(self, elapsed_seconds: float) -> Float64Array:
        """Return the boxes (T, 4) of `visible` after `advanced`, which computes everything else, too."""
        offsets = self.motion.centre_after(elapsed_seconds) - self.motion.centre
        return self.visible.boxes + np.concatenate((offsets, offsets), axis=1)

    def seen(self, objects: Appearance, looks: Float32Array, credit: Float64Array, elapsed_seconds: float) -> Tracks:
        """Return the tracks after observing each as its row of `objects`, `elapsed_seconds` after the last frame.

        Args:
            objects: T objects.
            looks: (T, D) their embeddings.
            credit: (T,) weights of this frame.
            elapsed_seconds: time since the last frame, not negative.
        """
        motion = self.motion.corrected(objects.boxes, elapsed_seconds)
        unoccluded = objects.box_areas >= WHOLE_UPDATE_SHARE * (motion.size[:, 0] * motion.size[:, 1])
        return Tracks(
            ids=self.ids,
            credit=self.credit + credit,
            lost_seconds=np.full(len(self), np.nan),
            motion=motion,
            visible=objects,
            whole_shapes=np.where(unoccluded[:, None, None], objects.shapes, self.whole_shapes),
            looks=mixed_looks(self.looks, looks, self.credit),
        )

    def unseen(self) -> Tracks:
        """Return the tracks after a frame in which none was observed."""
        return replace(self, lost_seconds=np.where(self.lost, self.lost_seconds, 0.0))
