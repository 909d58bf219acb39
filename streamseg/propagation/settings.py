"""Settings of label propagation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PropagationSettings"]


@dataclass(frozen=True, kw_only=True)
class PropagationSettings:
    """Settings of label propagation; `benchmarks.propagation` compares them."""

    radius: int = 4
    """Distance in cells of the finest grid in which the neighbours of a cell are searched for, at least 1."""
    num_votes: int = 3
    """Number of most similar cells of each memory frame that a cell takes its labels from, at least 1."""
    temperature: float = 0.07
    """Temperature of the softmax over their cosine similarities, above 0."""
    num_recent: int = 2
    """Number of recent frames in the memory of a target, besides the first one; at least 0."""
    max_tiles: int = 16
    """Number of tiles up to which only the finest grid is used; more of them use cells of twice the width first."""
    num_components: int = 48
    """Number of channels that features are reduced to, see `FeatureBasis`; 0 for all of them."""
    agreement_iou: float = 0.6
    """Minimum IoU of an instance with the propagated mask to be the same object; above 1, none ever is."""
    group_agreement_iou: float = 0.8
    """The same if the target is a group of objects, most of which may be one of them."""
    look_iou: float = 0.6
    """The same for what a second look finds in the box of the propagated mask."""
    own_agreement_iou: float = 0.2
    """The same for the instance with the target's own track id: two sources name the same object, and the propagated
    mask of a small object is not accurate."""

    def __post_init__(self) -> None:
        for name, least in (
            ("radius", 1),
            ("num_votes", 1),
            ("num_recent", 0),
            ("max_tiles", 0),
            ("num_components", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
