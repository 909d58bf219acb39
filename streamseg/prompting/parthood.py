"""Whether one object is a part of another, by the frames in which both were seen.

A shirt lies on a person in every picture and goes where that goes; a cup lies on a table until somebody takes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.appearance import Floats
from streamseg.prompting.containment import MIN_INSIDE
from streamseg.prompting.likeness import MIN_COSINE, Vector

__all__ = ["Parthood", "box_side"]

MIN_SHARE_OF_FRAMES: Final = 0.9
"""Of the pictures with both in which the part has to be on its whole, at its place."""
MIN_FRAMES: Final = 5
"""Pictures with both that have to be there for a judgement."""
PLACE_SECONDS: Final = 1.0
"""Time constant with which the place of a part on its whole may change: people turn and bend."""
PLACE_TOLERANCE: Final = (0.5, 0.1)
"""In sizes of the part and of the whole: how far it may be from that place. Boxes of things that walk shake."""
MIN_TRAVEL: Final = 1.0
"""In sizes of the part: what has gone so far together belongs together, what only lies there may be taken away."""
MIN_RETURN_SECONDS: Final = 0.3
"""What is missed for longer and is found at its place again belongs there, too."""
PATIENCE: Final = 3.0
"""So many times as long as both were seen together the whole answers for its part."""
MAX_SECONDS: Final = 30.0
"""But no longer than this: what was worn or carried has been put down by then."""
MAX_RESTING_SECONDS: Final = 1.0
"""The same of what has only lain there: long enough for the frames that a network misses."""
VIEW_SECONDS: Final = 0.5
"""So often the looks of a whole are remembered."""
MAX_VIEWS: Final = 4
"""Of them so many, the first and the last ones."""


@dataclass
class Parthood:
    """A part and what may be its whole, over the frames in which both were seen."""

    began_seconds: float
    start: tuple[float, float]
    """Centre of the part in the first of those frames."""
    place: tuple[float, float]
    """Where the part is on the whole: from centre to centre, in sizes of the whole."""
    seen_seconds: float
    num_frames: int = 0
    num_held: int = 0
    """Frames in which the part was on the whole, at its place."""
    is_held: bool = False
    """In the last of them."""
    is_missed: bool = False
    """The whole was seen without its part since."""
    is_proven: bool = False
    """They have gone some way together, or the part came back to its place."""
    views: list[Vector] = field(default_factory=list)
    """Embeddings of the whole, in some of those frames, oldest first."""
    viewed_seconds: float = float("-inf")
    """When the last of them was taken."""

    @classmethod
    def begin(cls, part: Floats, whole: Floats, time_seconds: float) -> Parthood:
        """Before a first frame is added, in which both boxes (4,) xyxy are these."""
        centre = (part[:2] + part[2:]) / 2
        x, y = (centre - (whole[:2] + whole[2:]) / 2) / box_side(whole)
        return cls(time_seconds, (float(centre[0]), float(centre[1])), (float(x), float(y)), time_seconds)

    def add(self, part: Floats, whole: Floats, share: float, time_seconds: float) -> None:
        """One more frame: both boxes (4,) xyxy, and the share of the part that is inside."""
        size, whole_size = box_side(part), box_side(whole)
        centre = (part[:2] + part[2:]) / 2
        place = (centre - (whole[:2] + whole[2:]) / 2) / whole_size
        moved = float(np.hypot(*(place - self.place)))
        by_part, by_whole = PLACE_TOLERANCE
        self.is_held = share >= MIN_INSIDE and moved <= by_part * size / whole_size + by_whole
        elapsed = max(time_seconds - self.seen_seconds, 0.0)
        if self.is_held:
            travel = float(np.hypot(*(centre - self.start)))
            self.is_proven |= travel >= MIN_TRAVEL * size or (self.is_missed and elapsed >= MIN_RETURN_SECONDS)
        kept = float(np.exp(-elapsed / PLACE_SECONDS))
        x, y = kept * np.array(self.place) + (1 - kept) * place
        self.place = float(x), float(y)
        self.seen_seconds, self.is_missed = time_seconds, False
        self.num_frames += 1
        self.num_held += self.is_held

    def view(self, embedding: Vector, time_seconds: float) -> None:
        """Remember what the whole looks like, every now and then while the part is held."""
        if self.is_held and time_seconds - self.viewed_seconds >= VIEW_SECONDS:
            if len(self.views) == MAX_VIEWS:
                del self.views[1]
            self.views.append(embedding)
            self.viewed_seconds = time_seconds

    def is_like(self, embedding: Vector) -> bool:
        """Whether something looks like the whole; yes, where that is not known."""
        return not self.views or float(np.max(np.stack(self.views) @ embedding)) >= MIN_COSINE

    @property
    def is_part(self) -> bool:
        """One is a part of the other, as far as they were seen."""
        is_often = self.num_frames >= MIN_FRAMES and self.num_held >= MIN_SHARE_OF_FRAMES * self.num_frames
        return is_often and self.is_held

    def miss(self) -> None:
        """The whole is seen, its part is not."""
        self.is_missed = True

    def stands_in(self, time_seconds: float) -> bool:
        """Whether the whole, which is seen at this time, answers for its part, which is not."""
        together = self.seen_seconds - self.began_seconds
        longest = min(PATIENCE * together, MAX_SECONDS if self.is_proven else MAX_RESTING_SECONDS)
        return self.is_part and time_seconds - self.seen_seconds <= longest


def box_side(box: npt.NDArray[np.floating]) -> float:
    """Side of a square of the box's area, 1 at least."""
    return max(math.sqrt(float((box[2] - box[0]) * (box[3] - box[1]))), 1.0)
