"""The settings of a batch: sections of a run that change its results."""

from __future__ import annotations

from typing import Literal

from streamseg.config import PromptConfig, SegmentationConfig, TextConfig, TrackingConfig
from streamseg.config.sources import Section

__all__ = ["BatchSettings"]


class BatchSettings(Section):
    """Settings of a batch."""

    segmentation: SegmentationConfig = SegmentationConfig()
    tracking: TrackingConfig = TrackingConfig()
    """Of videos; separate images have no tracks."""
    prompts: tuple[PromptConfig, ...] = (PromptConfig(id="everything"),)
    text: TextConfig = TextConfig()
    mode: Literal["streamseg", "fastsam"] = "streamseg"

    def as_written(self) -> dict[str, object]:
        """Return what a later part of the same batch must have in common: all but where and how fast it runs."""
        values = self.model_dump(mode="json")
        for key in ("device", "engine", "half"):
            del values["segmentation"][key]
        del values["text"]["device"]
        return values
