"""What propagation says about a target in one frame, and the selection that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamseg.prompting.confidence import object_probability
from streamseg.prompting.target import Target
from streamseg.structures.arrays import Float32Array
from streamseg.structures.instances import TENTATIVE
from streamseg.structures.mask import CropMask
from streamseg.structures.message import MaskSource, PromptState, PromptStatus
from streamseg.structures.prompt import Selection

__all__ = ["PropagatedTarget", "propagated_selection"]

PROPAGATED_CONFIDENCE: Final = 0.7
"""Confidence factor of a propagated mask that no proposal confirms."""
PROPAGATED_QUALITY: Final = 0.6
"""Expected IoU of such a mask relative to its certainty, without a refiner. Both are cautious, because the outlines are
those of cells."""


@dataclass(frozen=True, eq=False)
class PropagatedTarget:
    """A target that propagation sees in the newest frame."""

    row: int
    """Row of the proposal that agrees; -1 if none does."""
    mask: CropMask | None
    """The mask at the size of the image; None if a proposal agrees."""
    certainty: float
    """Mean margin of the target over other targets in its cells, 0..1."""
    quality: float | None = None
    """Expected IoU of the mask; None if it is unknown."""
    source: MaskSource = "propagated"
    """Source of the mask: `proposal` if a second look has found it."""
    shares: Float32Array | None = None
    """How much of each cell (H, W) of the features the mask covers, 0..1; None without a mask."""
    is_vouched: bool = False
    """True if the row does not look like the target, but its track did."""
    is_relocated: bool = False
    """True if what is at the target's place is something else: the row, which may be -1, was found elsewhere."""


def propagated_selection(prompt_id: str, target: Target, seen: PropagatedTarget, track_ids: Sequence[int]) -> Selection:
    """Return the selection of a target that propagation sees, with its status.

    Args:
        prompt_id: id of the prompt.
        target: its target.
        seen: the target in this frame.
        track_ids: track id of each row.
    """
    if seen.row >= 0:
        track_id = track_ids[seen.row]
        state: PromptState = "reacquired" if seen.is_relocated and track_id >= 0 else "bound"
        status = PromptStatus(prompt_id, state, seen.certainty, track_id, mask_source="proposal")
        return Selection(prompt_id, (seen.row,), (seen.certainty,), status=status)
    hypothesis = target.hypothesis
    own_id = TENTATIVE if hypothesis is None else max(hypothesis.track_id, TENTATIVE)
    if seen.is_relocated:
        return Selection(prompt_id, (), (), status=PromptStatus(prompt_id, "lost", 0.0, own_id))
    quality = PROPAGATED_QUALITY if seen.quality is None else seen.quality
    is_found = seen.source == "proposal"
    confidence = object_probability(target.prompt, quality) if is_found else PROPAGATED_CONFIDENCE
    status = PromptStatus(
        prompt_id,
        "bound",
        confidence * seen.certainty,
        target.matched_id if target.matched_id >= 0 else own_id,
        mask_quality=quality * seen.certainty,
        mask_source=seen.source,
    )
    return Selection(prompt_id, (), (), mask=seen.mask, status=status)
