"""One prompt and the objects that it could mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from streamseg.geometry import box_iou
from streamseg.prompting.appearance import Looks, silhouette_ious
from streamseg.prompting.history import Sighting
from streamseg.prompting.moved import moved
from streamseg.structures.instances import CORRECTION_MARGIN, TENTATIVE
from streamseg.structures.prompt import PointPrompt, SpatialPrompt

__all__ = ["Binding", "Candidate", "carry", "inner_point", "is_step"]

MIN_OVERLAP: Final = 0.4
"""Mean of box IoU and IoU of the silhouettes, each over its own box, from one frame to the next, for an object that has
no identity yet."""
MIN_BOX_IOU: Final = 0.2
"""Of those boxes: a part of it, or what is alike beside it, is not the object."""


@dataclass
class Candidate:
    """One object that could be meant."""

    track_id: int
    """`TENTATIVE`, or below where it is remembered from before the identities started afresh."""
    row: int = -1
    """Of the newest frame, while tentative; -1 where it has an identity, or went before it was given one."""
    first_box: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    """(4,) xyxy, where it was when it was asked for; None of one that is remembered."""
    last_box: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    """(4,) xyxy, where it was seen last, of one that is gone."""

    @property
    def is_gone(self) -> bool:
        """It went before it had an identity: nobody can ever find it again."""
        return self.track_id == TENTATIVE and self.row < 0

    def row_in(self, sighting: Sighting) -> int:
        """Its row in the newest frame; -1 where it is not seen."""
        return self.row if self.track_id == TENTATIVE else sighting.rows.get(self.track_id, -1)


@dataclass
class Binding:
    """What a prompt is bound to; to nothing while there are no candidates."""

    prompt: SpatialPrompt
    candidates: list[Candidate] = field(default_factory=list)
    """In the order in which `step` goes through them."""
    position: int = 0
    """Of the candidate that answers."""
    found_id: int = TENTATIVE
    """The identity under which it was found again, after its own was lost."""
    confidence: float = 1.0
    """That what was found again is the object: the product of all the times."""
    looks: Looks | None = None
    """As it was before it was found again, or before the identities started afresh."""
    bridge: Candidate | None = None
    """What lay in its object's place when the tracker lost that, and stays there: it answers meanwhile."""
    is_denied: bool = False
    """Its object's identity is seen, and is another object."""
    whole_id: int = TENTATIVE
    """What its object is a part of, where that answers for it."""
    asked_seconds: float = float("inf")
    """When the picture was taken in which its candidates were found."""
    is_asked: bool = False
    """The frame that the sender saw has had its say."""
    place: SpatialPrompt = field(init=False)
    """The prompt on the frame of its candidates' `first_box`; where it is asked again once all of them are gone."""

    def __post_init__(self) -> None:
        self.place = self.prompt

    @property
    def candidate(self) -> Candidate | None:
        """The one that answers."""
        return self.candidates[self.position] if self.candidates else None

    def row_in(self, sighting: Sighting, denied: Collection[int] = ()) -> int:
        """Its object's row in the newest frame; -1 where it is not seen. Its own identity goes before a found one.

        Args:
            sighting: the newest frame.
            denied: identities that are other objects.
        """
        candidate = self.candidate
        if candidate is None:
            return -1
        row = candidate.row_in(sighting) if candidate.track_id not in denied else -1
        if row < 0 <= self.found_id:
            return sighting.rows.get(self.found_id, -1) if self.found_id not in denied else -1
        if row >= 0 and self.found_id >= 0:
            self.found_id, self.confidence = TENTATIVE, 1.0
        return row

    def row_before(self, before: Sighting) -> int:
        """Its object's row in the frame before the newest, where it had an identity there; else -1."""
        candidate = self.candidate
        if candidate is None:
            return -1
        return before.rows.get(self.found_id if self.found_id >= 0 else candidate.track_id, -1)

    def bind(self, candidates: Sequence[Candidate]) -> None:
        """To these objects, the one that the prompt's `step` says first."""
        self.candidates = list(candidates)
        self._choose(self.prompt.step % len(candidates))

    def renew(self, candidates: Sequence[Candidate], position: int, sighting: Sighting, row: int) -> None:
        """To what lies around its object by now, in place of what did when it was asked.

        Args:
            candidates: found in the newest frame.
            position: of its object among them.
            sighting: the newest frame.
            row: of its object there.
        """
        known, self.candidates, self.position = self.candidate, list(candidates), position
        if known is not None:
            self._go_along(known, sighting.boxes[row])
            if known.track_id != TENTATIVE:
                # Its own identity goes on, which need not be the one that it was found under.
                self.candidates[position] = replace(known, first_box=sighting.boxes[row])

    def advance(self, prompt: SpatialPrompt, sighting: Sighting) -> None:
        """To another step: as many candidates on as the step went up, those left out that are not there."""
        steps, self.prompt = prompt.step - self.prompt.step, prompt
        here = [
            position
            for position, candidate in enumerate(self.candidates)
            if position == self.position or candidate.row_in(sighting) >= 0
        ]
        if len(here) > 1:
            chosen = here[(here.index(self.position) + steps) % len(here)]
            if chosen != self.position:
                self._choose(chosen)

    def leave_gone(self, sighting: Sighting) -> None:
        """Where its candidate went before it had an identity: to the next one that is there, else to nothing."""
        candidate = self.candidate
        if candidate is not None and candidate.is_gone and not self.leave(sighting):
            self.candidates = []
            if candidate.last_box is not None:
                self._go_along(candidate, candidate.last_box)

    def leave(self, sighting: Sighting) -> bool:
        """For the next candidate that is there; False where there is none."""
        order = [*range(self.position + 1, len(self.candidates)), *range(self.position)]
        there = [position for position in order if self.candidates[position].row_in(sighting) >= 0]
        if there:
            self._choose(there[0])
        return bool(there)

    def _go_along(self, candidate: Candidate, box: npt.NDArray[np.float32]) -> None:
        if candidate.first_box is not None:
            self.place = moved(self.place, candidate.first_box, box)

    def _choose(self, position: int) -> None:
        self.position, self.found_id, self.confidence, self.looks = position, TENTATIVE, 1.0, None
        self.bridge, self.whole_id, self.is_denied = None, TENTATIVE, False

    def may_be_answered_by(self) -> Collection[int] | None:
        """The identities that may answer for a part; None for all.

        A click means what is seen at its place; whatever says more (a box, a mask, a background point) means an object
        of that outline, and only what was among the candidates has passed.
        """
        if isinstance(self.prompt, PointPrompt) and all(self.prompt.point_labels):
            return None
        return {one.track_id for one in self.candidates}


def is_step(before: SpatialPrompt, after: SpatialPrompt) -> bool:
    """Whether two prompts of one id mean the same place, and the second another of the objects there."""
    if type(before) is not type(after) or before.step == after.step:
        return False
    return replace(before, step=0, frame_index=None) == replace(after, step=0, frame_index=None)


def carry(candidates: Sequence[Candidate], before: Sighting, after: Sighting) -> None:
    """Take candidates without an identity from one frame to the next by their overlap; they may get one there.

    What had an identity before is another object and is not taken.
    """
    moving = [one for one in candidates if one.row >= 0]
    if not moving:
        return
    free = [row for row, identity in enumerate(after.track_ids) if identity < 0 or identity not in before.rows]
    rows = [one.row for one in moving]
    overlap = np.zeros((len(rows), 0))
    if free:
        boxes = box_iou(torch.from_numpy(before.boxes[rows]), torch.from_numpy(after.boxes[free])).numpy()
        shapes = [(one.rasters[chosen] > 0).reshape(len(chosen), -1) for one, chosen in ((before, rows), (after, free))]
        overlap = (boxes + silhouette_ious(*shapes)) / 2 * (boxes >= MIN_BOX_IOU)
    for one, line in zip(moving, overlap, strict=True):
        one.last_box = before.boxes[one.row]
        best = int(np.argmax(line)) if len(line) else -1
        one.row = free[best] if best >= 0 and line[best] >= MIN_OVERLAP else -1
        if one.row >= 0:
            one.track_id = after.track_ids[one.row]
    # One without an identity is asked for by its row, one with an identity by that.
    for one in moving:
        if one.track_id != TENTATIVE:
            one.row = -1


def inner_point(prompt_id: str, sighting: Sighting, row: int) -> PointPrompt:
    """A point on an object, well inside of it where it is solid."""
    raster = sighting.rasters[row].astype(np.float32)
    inside = raster > 0
    x0, y0, x1, y1 = sighting.boxes[row].tolist()
    if not inside.any():
        return PointPrompt(prompt_id, (((x0 + x1) / 2, (y0 + y1) / 2),), (1,))
    rows, columns = np.nonzero(inside)
    # The cell on the object that is nearest to its centre of mass.
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    shares = (np.array([columns[nearest], rows[nearest]]) + 0.5) / len(raster)
    shares = shares * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN
    return PointPrompt(prompt_id, ((x0 + float(shares[0]) * (x1 - x0), y0 + float(shares[1]) * (y1 - y0)),), (1,))
