"""The tracks of one tracker as a table: each row a track, each method the next table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamseg.structures.instances import TENTATIVE
from streamseg.tracking.appearance import Appearance, Bools, Indices
from streamseg.tracking.association import Expectation
from streamseg.tracking.motion import Floats, Motion

__all__ = ["Ids", "Tracks"]

Ids = npt.NDArray[np.int64]

WHOLE_UPDATE_SHARE = 0.9
"""The whole mask is remembered anew when at least this share of the whole box is visible."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """T tracks."""

    ids: Ids
    """(T,) `TENTATIVE` until confirmed."""
    num_seen: Ids
    """(T,) frames in which the track was seen."""
    lost_seconds: Floats
    """(T,) time since the first frame without the track; NaN for one seen in the last frame."""
    motion: Motion
    visible: Appearance
    """As last seen, moved on since."""
    whole_shapes: Bools
    """(T, R, R) the mask when nothing was in front."""

    @classmethod
    def start(cls, objects: Appearance, image_size: tuple[int, int]) -> Tracks:
        """A tentative track for each object in a picture of `image_size` (H, W)."""
        count = len(objects)
        return cls(
            ids=np.full(count, TENTATIVE, dtype=np.int64),
            num_seen=np.ones(count, dtype=np.int64),
            lost_seconds=np.full(count, np.nan),
            motion=Motion.start(objects.boxes, image_size),
            visible=objects,
            whole_shapes=objects.shapes,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Indices | Bools) -> Tracks:
        """The chosen tracks."""
        return Tracks(
            self.ids[rows],
            self.num_seen[rows],
            self.lost_seconds[rows],
            self.motion[rows],
            self.visible[rows],
            self.whole_shapes[rows],
        )

    def __add__(self, other: Tracks) -> Tracks:
        """Both, one after the other."""
        return Tracks(
            np.concatenate((self.ids, other.ids)),
            np.concatenate((self.num_seen, other.num_seen)),
            np.concatenate((self.lost_seconds, other.lost_seconds)),
            self.motion + other.motion,
            self.visible + other.visible,
            np.concatenate((self.whole_shapes, other.whole_shapes)),
        )

    @property
    def confirmed(self) -> Bools:
        """(T,) have an identity, lost or not."""
        confirmed: Bools = self.ids != TENTATIVE
        return confirmed

    @property
    def lost(self) -> Bools:
        """(T,) were not seen in the last frame."""
        lost: Bools = ~np.isnan(self.lost_seconds)
        return lost

    @property
    def expectation(self) -> Expectation:
        """What to look for in the frame to which the tracks were advanced."""
        whole = Appearance(self.motion.boxes, self.whole_shapes)
        return Expectation(self.visible, whole, self.motion.deviation, self.lost)

    def with_ids(self, ids: Ids) -> Tracks:
        """The same with other identities (T,)."""
        return replace(self, ids=ids)

    def advanced(self, elapsed_seconds: float) -> Tracks:
        """The same, later, before anything is seen."""
        motion = self.motion.predicted(elapsed_seconds)
        return replace(
            self,
            lost_seconds=self.lost_seconds + elapsed_seconds,
            motion=motion,
            visible=self.visible.moved(motion.centre - self.motion.centre),
        )

    def seen(self, objects: Appearance, elapsed_seconds: float) -> Tracks:
        """The same after each track was found as its row of `objects`, `elapsed_seconds` after the last frame."""
        motion = self.motion.corrected(objects.boxes, elapsed_seconds)
        unhidden = objects.box_areas >= WHOLE_UPDATE_SHARE * motion.size.prod(axis=1)
        return Tracks(
            ids=self.ids,
            num_seen=self.num_seen + 1,
            lost_seconds=np.full(len(self), np.nan),
            motion=motion,
            visible=objects,
            whole_shapes=np.where(unhidden[:, None, None], objects.shapes, self.whole_shapes),
        )

    def unseen(self) -> Tracks:
        """The same after none of them was found."""
        return replace(self, lost_seconds=np.where(self.lost, self.lost_seconds, 0.0))
