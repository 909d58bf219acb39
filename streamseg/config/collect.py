"""Configuration section of the data set that a run collects."""

from __future__ import annotations

from pydantic import Field

from streamseg.config.sources import Section

__all__ = ["CollectConfig"]


class CollectConfig(Section):
    """Frames that are worth labelling, saved as a COCO data set: what was lost, uncertain, corrected or removed."""

    folder: str | None = None
    """Folder of the data set, continued if an earlier run began it; None: nothing is saved."""
    keep_gb: float = Field(default=2.0, gt=0)
    """Total size of its images and labels, in 10**9 bytes, above which the oldest are deleted, those without a click
    first."""
    max_images: int = Field(default=5000, ge=1, le=1_000_000)
    """Maximum number of images; beyond it, the oldest are deleted in the same order."""
    interval_s: float = Field(default=10.0, ge=0, le=86400)
    """Minimum time between two images of a prompt that was lost or uncertain, per source. Clicks are always saved."""
    uncertain_below: float = Field(default=0.5, ge=0, le=1)
    """Expected IoU of a followed object's mask below which it is saved."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
