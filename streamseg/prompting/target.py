"""One prompt and the objects that it could mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from streamseg.geometry import box_iou
from streamseg.prompting.appearance import Appearance, silhouette_ious
from streamseg.prompting.history import FrameRecord
from streamseg.structures.arrays import Float64Array
from streamseg.structures.instances import CORRECTION_MARGIN, TENTATIVE
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, SpatialPrompt

__all__ = ["Hypothesis", "Target", "carry", "inner_point", "is_step", "transform_prompt"]

MIN_OVERLAP: Final = 0.4
"""Mean of box IoU and IoU of the silhouettes, each over its own box, from one frame to the next, for an object that has
no identity yet."""
MIN_BOX_IOU: Final = 0.2
"""Of those boxes: a part of it, or what is alike beside it, is not the object."""


@dataclass
class Hypothesis:
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

    def row_in(self, record: FrameRecord) -> int:
        """Its row in the newest frame; -1 where it is not seen."""
        return self.row if self.track_id == TENTATIVE else record.rows.get(self.track_id, -1)


@dataclass
class Target:
    """What a prompt is bound to; to nothing while there are no candidates."""

    prompt: SpatialPrompt
    hypotheses: list[Hypothesis] = field(default_factory=list)
    """In the order in which `step` goes through them."""
    position: int = 0
    """Of the candidate that answers."""
    matched_id: int = TENTATIVE
    """The identity under which it was found again, after its own was lost."""
    confidence: float = 1.0
    """That what was found again is the object: the product of all the times."""
    appearance: Appearance | None = None
    """As it was before it was found again, or before the identities started afresh."""
    bridge: Hypothesis | None = None
    """What lay in its object's place when the tracker lost that, and stays there: it answers meanwhile."""
    is_rejected: bool = False
    """Its object's identity is seen, and is another object."""
    whole_id: int = TENTATIVE
    """What its object is a part of, where that answers for it."""
    evaluated_seconds: float = float("inf")
    """When the picture was taken in which its candidates were found."""
    is_evaluated: bool = False
    """The frame that the sender saw has had its say."""
    location: SpatialPrompt = field(init=False)
    """The prompt on the frame of its candidates' `first_box`; where it is asked again once all of them are gone."""

    def __post_init__(self) -> None:
        self.location = self.prompt

    @property
    def hypothesis(self) -> Hypothesis | None:
        """The one that answers."""
        return self.hypotheses[self.position] if self.hypotheses else None

    def row_in(self, record: FrameRecord, rejected: Collection[int] = ()) -> int:
        """Its object's row in the newest frame; -1 where it is not seen. Its own identity goes before a found one.

        Args:
            sighting: the newest frame.
            denied: identities that are other objects.
        """
        hypothesis = self.hypothesis
        if hypothesis is None:
            return -1
        row = hypothesis.row_in(record) if hypothesis.track_id not in rejected else -1
        if row < 0 <= self.matched_id:
            return record.rows.get(self.matched_id, -1) if self.matched_id not in rejected else -1
        if row >= 0 and self.matched_id >= 0:
            self.matched_id, self.confidence = TENTATIVE, 1.0
        return row

    def row_before(self, before: FrameRecord) -> int:
        """Its object's row in the frame before the newest, where it had an identity there; else -1."""
        hypothesis = self.hypothesis
        if hypothesis is None:
            return -1
        return before.rows.get(self.matched_id if self.matched_id >= 0 else hypothesis.track_id, -1)

    def bind(self, hypotheses: Sequence[Hypothesis]) -> None:
        """To these objects, the one that the prompt's `step` says first."""
        self.hypotheses = list(hypotheses)
        self._choose(self.prompt.step % len(hypotheses))

    def rebuild(self, hypotheses: Sequence[Hypothesis], position: int, record: FrameRecord, row: int) -> None:
        """To what lies around its object by now, in place of what did when it was asked.

        Args:
            candidates: found in the newest frame.
            position: of its object among them.
            sighting: the newest frame.
            row: of its object there.
        """
        known, self.hypotheses, self.position = self.hypothesis, list(hypotheses), position
        if known is not None:
            self._go_along(known, record.boxes[row])
            if known.track_id != TENTATIVE:
                # Its own identity goes on, which need not be the one that it was found under.
                self.hypotheses[position] = replace(known, first_box=record.boxes[row])

    def advance(self, prompt: SpatialPrompt, record: FrameRecord) -> None:
        """To another step: as many candidates on as the step went up, those left out that are not there."""
        steps, self.prompt = prompt.step - self.prompt.step, prompt
        here = [
            position
            for position, hypothesis in enumerate(self.hypotheses)
            if position == self.position or hypothesis.row_in(record) >= 0
        ]
        if len(here) > 1:
            chosen = here[(here.index(self.position) + steps) % len(here)]
            if chosen != self.position:
                self._choose(chosen)

    def drop_gone(self, record: FrameRecord) -> None:
        """Where its candidate went before it had an identity: to the next one that is there, else to nothing."""
        hypothesis = self.hypothesis
        if hypothesis is not None and hypothesis.is_gone and not self.switch(record):
            self.hypotheses = []
            if hypothesis.last_box is not None:
                self._go_along(hypothesis, hypothesis.last_box)

    def switch(self, record: FrameRecord) -> bool:
        """For the next candidate that is there; False where there is none."""
        order = [*range(self.position + 1, len(self.hypotheses)), *range(self.position)]
        there = [position for position in order if self.hypotheses[position].row_in(record) >= 0]
        if there:
            self._choose(there[0])
        return bool(there)

    def _go_along(self, hypothesis: Hypothesis, box: npt.NDArray[np.float32]) -> None:
        if hypothesis.first_box is not None:
            self.location = transform_prompt(self.location, hypothesis.first_box, box)

    def _choose(self, position: int) -> None:
        self.position, self.matched_id, self.confidence, self.appearance = position, TENTATIVE, 1.0, None
        self.bridge, self.whole_id, self.is_rejected = None, TENTATIVE, False

    def allowed_stand_ins(self) -> Collection[int] | None:
        """The identities that may answer for a part; None for all.

        A click means what is seen at its place; whatever says more (a box, a mask, a background point) means an object
        of that outline, and only what was among the candidates has passed.
        """
        if isinstance(self.prompt, PointPrompt) and all(self.prompt.point_labels):
            return None
        return {one.track_id for one in self.hypotheses}


def is_step(before: SpatialPrompt, after: SpatialPrompt) -> bool:
    """Whether two prompts of one id mean the same place, and the second another of the objects there."""
    if type(before) is not type(after) or before.step == after.step:
        return False
    return replace(before, step=0, frame_index=None) == replace(after, step=0, frame_index=None)


def carry(hypotheses: Sequence[Hypothesis], before: FrameRecord, after: FrameRecord) -> None:
    """Take candidates without an identity from one frame to the next by their overlap; they may get one there.

    What had an identity before is another object and is not taken.
    """
    moving = [one for one in hypotheses if one.row >= 0]
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


def inner_point(prompt_id: str, record: FrameRecord, row: int) -> PointPrompt:
    """A point on an object, well inside of it where it is solid."""
    raster = record.rasters[row].astype(np.float32)
    inside = raster > 0
    x0, y0, x1, y1 = record.boxes[row].tolist()
    if not inside.any():
        return PointPrompt(prompt_id, (((x0 + x1) / 2, (y0 + y1) / 2),), (1,))
    rows, columns = np.nonzero(inside)
    # The cell on the object that is nearest to its centre of mass.
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    shares = (np.array([columns[nearest], rows[nearest]]) + 0.5) / len(raster)
    shares = shares * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN
    return PointPrompt(prompt_id, ((x0 + float(shares[0]) * (x1 - x0), y0 + float(shares[1]) * (y1 - y0)),), (1,))


MIN_SIDE_PX = 1.0
"""Of a box: what is narrower says nothing about the scale."""
MAX_MASK_SIDE_PX = 8192
"""No camera's picture is larger, and no mask that means an object in it."""


def transform_prompt(
    prompt: SpatialPrompt, before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]
) -> SpatialPrompt:
    """Move a prompt with its target: shift and scale it from one box to another.

    Args:
        prompt: the prompt on the target in the box `before`.
        before: (4,) xyxy, box of the target at that time.
        after: (4,) xyxy, its box now.

    Returns:
        The moved prompt; a mask prompt unchanged if its mask would have no pixel left, or a side of more than
        `MAX_MASK_SIDE_PX`.
    """
    begin, end = before.astype(np.float64), after.astype(np.float64)
    sides = (np.maximum(box[2:] - box[:2], MIN_SIDE_PX) for box in (end, begin))
    scale = np.divide(*sides)  # (2,) x, y
    shift = end[:2] - begin[:2] * scale
    match prompt:
        case PointPrompt():
            points = np.array(prompt.point_coords) * scale + shift
            return replace(prompt, point_coords=tuple((float(x), float(y)) for x, y in points))
        case BoxPrompt():
            x0, y0, x1, y1 = (np.array(prompt.box).reshape(2, 2) * scale + shift).ravel().tolist()
            return replace(prompt, box=(x0, y0, x1, y1))
        case MaskPrompt():
            mask = _transform_mask(prompt.mask, scale, shift)
            return prompt if mask is None else replace(prompt, mask=mask)


def _transform_mask(mask: CropMask, scale: Float64Array, shift: Float64Array) -> CropMask | None:
    """Return the scaled and shifted mask, or None if it would be too large or empty."""
    height, width = mask.crop.shape
    x, y = np.rint(np.array([mask.x, mask.y]) * scale + shift).astype(int).tolist()
    size = np.maximum(np.rint(np.array([width, height]) * scale), 1).astype(int).tolist()
    if max(size) > MAX_MASK_SIDE_PX:
        return None
    crop = cv2.resize(mask.crop.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.bool_)
    # Thin masks can fall between the pixels of a small one.
    return CropMask(crop, x, y) if crop.any() else None
