"""What the tracker and the memory of one followed prompt say about its object, and whom to believe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection, SpatialPrompt
from streamseg.tiers.memory.model import ObjectMemory, Seen

__all__ = ["FollowedPrompt", "may_start", "seen_selection", "track_ids"]

MIN_REACQUIRED_CONFIDENCE: Final = 0.5
"""Minimum confidence of the tracker in an object that it found again under another track id."""
MAX_GAP: Final = 16
"""Frames that a memory may leave out: after more of them the tracker's mask, if it is sure of it, corrects it."""


@dataclass
class FollowedPrompt:
    """One prompt with a memory."""

    prompt: SpatialPrompt
    memory: ObjectMemory[Any]
    gap: int = 0
    """Number of frames since the memory was used."""
    track_ids: set[int] = field(default_factory=set)
    """Track ids of instances that the memory has agreed with, or started with."""

    def trusts(self, own: Selection) -> bool:
        """Return whether the tracker sees the object: under a known track id, and no whole instead of its part."""
        status = own.status
        if status is None or not _is_visible(own):
            return False
        is_known = status.track_id in self.track_ids or not self.track_ids
        return is_known or (status.state == "reacquired" and status.confidence >= MIN_REACQUIRED_CONFIDENCE)

    @property
    def is_stale(self) -> bool:
        """Whether too many frames were left out for the memory to find the object by itself."""
        return self.gap > MAX_GAP


def _is_visible(own: Selection) -> bool:
    """Return whether the tracker sees an object, or propagates a mask."""
    is_bound = own.status is not None and own.status.state in ("bound", "reacquired")
    return is_bound and (own.mask is not None or bool(own.rows))


def may_start(own: Selection) -> bool:
    """Return whether a memory may start with the tracker's selection."""
    status = own.status
    if status is None or not _is_visible(own):
        return False
    return status.state == "bound" or status.confidence >= MIN_REACQUIRED_CONFIDENCE


def track_ids(own: Selection) -> set[int]:
    """Return the track id of a selection as a set, empty without one."""
    return {own.status.track_id} if own.status is not None and own.status.track_id >= 0 else set()


def seen_selection(own: Selection, seen: Seen, track_id: int) -> Selection:
    """Return what a memory sees as the selection of its prompt, under the track id of the instance that agrees.

    Without one, -1, it keeps the last track id.
    """
    status = own.status if own.status is not None else PromptStatus(own.prompt_id, "bound")
    if track_id < 0:
        track_id = status.track_id
    return Selection(
        own.prompt_id,
        (),
        (),
        mask=seen.mask,
        status=replace(
            status,
            state="reacquired" if status.state == "reacquired" else "bound",
            confidence=seen.presence,
            track_id=track_id,
            mask_quality=seen.quality,
            mask_source="memory",
        ),
    )
