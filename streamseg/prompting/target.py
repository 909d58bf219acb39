"""One prompt, the objects that it could mean, and its location.

Hypothesis  one object that the prompt could mean
Target      the prompt with its hypotheses; one of them is selected
carry       follow hypotheses without a track id from frame to frame
is_step     whether a prompt only selects another hypothesis of an earlier one
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch

from streamseg.geometry import box_iou
from streamseg.prompting.appearance import Appearance
from streamseg.prompting.box_edges import BoxEdges
from streamseg.prompting.history import FrameRecord, silhouette_ious
from streamseg.prompting.transform import transform_prompt
from streamseg.structures.arrays import Float32Array
from streamseg.structures.instances import TENTATIVE
from streamseg.structures.prompt import PointPrompt, SpatialPrompt

__all__ = ["GRACE_FRAMES", "GRACE_SECONDS", "Hypothesis", "Target", "carry", "is_step"]

MIN_OVERLAP: Final = 0.4
"""Minimum mean of the box IoU and the IoU of the silhouettes, each over its own box, between consecutive frames, for an
object without a track id."""
MIN_BOX_IOU: Final = 0.2
"""Minimum box IoU for the same: a part of the object, or a similar object beside it, is not the object."""
GRACE_FRAMES: Final = 5
"""Number of frames on which a prompt without a match is evaluated: an object that is detected in every other frame is
found, and so is the object in a box, which the network searches for from the second or third frame on. What comes to
the place later is something else than its sender meant."""
GRACE_SECONDS: Final = 3.0
"""Minimum duration of the same for a prompt whose match was lost before it received a track id: it is a weak object,
which may reappear."""


@dataclass
class Hypothesis:
    """One object that the prompt could mean."""

    track_id: int
    """Track id; `TENTATIVE`, or a smaller placeholder if the object is from before the tracks started afresh."""
    row: int = -1
    """Row in the newest frame while tentative; -1 with a track id, or if it was lost while tentative."""
    first_box: Float32Array | None = field(default=None, compare=False)
    """Box (4,) xyxy in the frame on which the prompt was evaluated; None for an object from an earlier run."""
    last_box: Float32Array | None = field(default=None, compare=False)
    """Last seen box (4,) xyxy of an object that was carried."""

    @property
    def is_gone(self) -> bool:
        """True if it was lost while tentative; it cannot be re-identified."""
        return self.track_id == TENTATIVE and self.row < 0

    def row_in(self, record: FrameRecord) -> int:
        """Return its row in the newest frame; -1 if it is not visible."""
        return self.row if self.track_id == TENTATIVE else record.rows.get(self.track_id, -1)


@dataclass
class Target:
    """The object that a prompt means; unknown while there are no hypotheses."""

    prompt: SpatialPrompt
    hypotheses: list[Hypothesis] = field(default_factory=list)
    """Objects that the prompt could mean, in the order in which `step` selects them."""
    position: int = 0
    """Position of the selected hypothesis."""
    matched_id: int = TENTATIVE
    """Track id under which the target was re-identified, after its own was lost; else `TENTATIVE`."""
    confidence: float = 1.0
    """Probability that the re-identified object is the target: the product over all re-identifications."""
    appearance: Appearance | None = None
    """Appearance before the target was re-identified, or before the tracks started afresh."""
    bridge: Hypothesis | None = None
    """Object without a track id that appeared in the target's place when its track was lost; selected meanwhile."""
    is_rejected: bool = False
    """True if the target's track is visible, but is another object."""
    whole_id: int = TENTATIVE
    """Track id of the whole that substitutes for the target, which is a part of it; else `TENTATIVE`."""
    evaluated_seconds: float = float("inf")
    """Capture time of the frame in which the hypotheses were found."""
    is_evaluated: bool = False
    """True once the prompt has been evaluated on the frame its sender saw."""
    num_misses: int = 0
    """Number of frames in which the prompt has matched nothing since its last match."""
    first_miss_seconds: float = 0.0
    """Capture time of the first of these frames."""
    num_replaced: int = 0
    """Number of times that the selected hypothesis was gone, and the next one was selected in its place."""
    edges: BoxEdges | None = None
    """What the drawn box of the selected hypothesis says about the network's boxes of it; None if none was drawn."""
    is_abandoned: bool = False
    """True if nothing was found within the grace; the prompt is not evaluated any more."""
    location: SpatialPrompt = field(init=False)
    """The prompt in the frame of its hypotheses' `first_box`. It is evaluated there again once all of them are gone."""

    def __post_init__(self) -> None:
        self.location = self.prompt

    @property
    def hypothesis(self) -> Hypothesis | None:
        """The selected hypothesis; None while there are none."""
        return self.hypotheses[self.position] if self.hypotheses else None

    def row_in(self, record: FrameRecord, rejected: Collection[int] = ()) -> int:
        """Return the target's row in the newest frame; -1 if it is not visible.

        Its own track takes precedence over the one under which it was re-identified, which is then forgotten.

        Args:
            record: the newest frame.
            rejected: track ids that are other objects.
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

    def previous_row(self, before: FrameRecord) -> int:
        """Return the target's row in the frame before the newest; -1 if it had no visible track there."""
        hypothesis = self.hypothesis
        if hypothesis is None:
            return -1
        return before.rows.get(self.matched_id if self.matched_id >= 0 else hypothesis.track_id, -1)

    def allowed_wholes(self) -> Collection[int] | None:
        """Return the track ids of objects that may substitute for the target; None for all.

        Foreground points mean any object at their place. A box, a mask or a background point restricts the outline, so
        only objects among the hypotheses fit the prompt.
        """
        match self.prompt:
            case PointPrompt(point_labels=labels) if all(labels):
                return None
            case _:
                return {one.track_id for one in self.hypotheses}

    def miss(self, time_seconds: float) -> None:
        """Record a frame in which the prompt matches nothing; it is abandoned after the grace.

        Args:
            time_seconds: capture time of the frame.
        """
        if not self.num_misses:
            self.first_miss_seconds = time_seconds
        self.num_misses += 1
        was_matched = self.evaluated_seconds < float("inf")
        grace_seconds = GRACE_SECONDS if was_matched else 0.0
        self.is_abandoned = self.num_misses >= GRACE_FRAMES and time_seconds - self.first_miss_seconds >= grace_seconds

    def bind(self, hypotheses: Sequence[Hypothesis], edges: Sequence[BoxEdges | None] | None = None) -> None:
        """Set the hypotheses, at least one, and select the one that the prompt's `step` specifies.

        Args:
            hypotheses: the objects that the prompt could mean.
            edges: see `Target.edges`, for each of them; None if no box was drawn.
        """
        self.hypotheses, self.num_misses = list(hypotheses), 0
        self._select(self.prompt.step % len(hypotheses))
        self.edges = None if edges is None else edges[self.position]

    def rebuild(self, hypotheses: Sequence[Hypothesis], position: int, record: FrameRecord, row: int) -> None:
        """Replace the hypotheses by the objects that the target can be confused with now.

        Args:
            hypotheses: found in the newest frame.
            position: position of the target among them.
            record: the newest frame.
            row: row of the target in it.
        """
        known, self.hypotheses, self.position = self.hypothesis, list(hypotheses), position
        if known is not None:
            self._move(known, record.boxes[row])
            if known.track_id != TENTATIVE:
                # Keep its own track id, which may differ from the one under which it was re-identified.
                self.hypotheses[position] = replace(known, first_box=record.boxes[row])

    def advance(self, prompt: SpatialPrompt, record: FrameRecord) -> None:
        """Change to a prompt with another `step`: select the hypothesis that many visible ones further on."""
        steps, self.prompt = prompt.step - self.prompt.step, prompt
        available = [
            position
            for position, hypothesis in enumerate(self.hypotheses)
            if position == self.position or hypothesis.row_in(record) >= 0
        ]
        if len(available) > 1:
            chosen = available[(available.index(self.position) + steps) % len(available)]
            if chosen != self.position:
                self._select(chosen)

    def drop_gone(self, record: FrameRecord) -> None:
        """If the selected hypothesis is gone, select the next visible one; if there is none, drop them all."""
        hypothesis = self.hypothesis
        if hypothesis is not None and hypothesis.is_gone and not self.select_next(record):
            self.hypotheses = []
            if hypothesis.last_box is not None:
                self._move(hypothesis, hypothesis.last_box)

    def select_next(self, record: FrameRecord) -> bool:
        """Select the next visible hypothesis; return False if there is none."""
        others = [*range(self.position + 1, len(self.hypotheses)), *range(self.position)]
        visible = [position for position in others if self.hypotheses[position].row_in(record) >= 0]
        if visible:
            self._select(visible[0])
            self.num_replaced += 1
        return bool(visible)

    def _move(self, hypothesis: Hypothesis, box: Float32Array) -> None:
        if hypothesis.first_box is not None:
            self.location = transform_prompt(self.location, hypothesis.first_box, box)

    def _select(self, position: int) -> None:
        self.position, self.matched_id, self.confidence, self.appearance = position, TENTATIVE, 1.0, None
        self.bridge, self.whole_id, self.is_rejected, self.edges = None, TENTATIVE, False, None


def carry(hypotheses: Sequence[Hypothesis], before: FrameRecord, after: FrameRecord) -> None:
    """Move hypotheses without a track id from one frame to the next by overlap; they may receive a track id there.

    An object whose track was visible before is another object, and is not matched.
    """
    moving = [one for one in hypotheses if one.row >= 0]
    if not moving:
        return
    free = [row for row, track_id in enumerate(after.track_ids) if track_id < 0 or track_id not in before.rows]
    rows = [one.row for one in moving]
    overlap = np.zeros((len(rows), 0))
    if free:
        boxes = box_iou(torch.from_numpy(before.boxes[rows]), torch.from_numpy(after.boxes[free])).numpy()
        shapes = [
            (one.mask_logits[chosen] > 0).reshape(len(chosen), -1) for one, chosen in ((before, rows), (after, free))
        ]
        overlap = (boxes + silhouette_ious(*shapes)) / 2 * (boxes >= MIN_BOX_IOU)
    for one, line in zip(moving, overlap, strict=True):
        one.last_box = before.boxes[one.row]
        best = int(np.argmax(line)) if len(line) else -1
        one.row = free[best] if best >= 0 and line[best] >= MIN_OVERLAP else -1
        if one.row >= 0:
            one.track_id = after.track_ids[one.row]
    # Without a track id a hypothesis is found by its row, with one by the track id.
    for one in moving:
        if one.track_id != TENTATIVE:
            one.row = -1


def is_step(before: SpatialPrompt, after: SpatialPrompt) -> bool:
    """Return whether two prompts of one id have the same location, and the second selects another hypothesis."""
    if type(before) is not type(after) or before.step == after.step:
        return False
    return replace(before, step=0, frame_index=None) == replace(after, step=0, frame_index=None)
