"""Opening of the quality tier of a configuration."""

from __future__ import annotations

from pathlib import Path

from streamseg.config import QualityConfig
from streamseg.errors import EngineError
from streamseg.tiers.model_folder import first_line
from streamseg.tiers.quality.loading import load_promptable
from streamseg.tiers.quality.tier import PromptableQualityTier, StartMasks

__all__ = ["open_quality_tier"]


def open_quality_tier(config: QualityConfig, folder: Path, start: StartMasks | None = None) -> PromptableQualityTier:
    """Load the promptable model of a configuration, and measure its times.

    Args:
        config: the section of the configuration, with a model.
        folder: the folder of the model.
        start: decodes in the background, for live video; None: each frame waits for its masks, whatever they cost.

    Raises:
        ConfigError: transformers is needed and not installed.
        WeightsError: the folder has no promptable model, or it is damaged.
        EngineError: there is no such device, or the model cannot be run on it.
    """
    model = load_promptable(folder, device=config.device)
    try:
        return PromptableQualityTier(
            model,
            name=config.model or folder.name,
            objects=config.objects,
            every=config.every,
            budget_ms=config.budget_ms if start is not None else None,
            view=config.view,
            start=start,
        )
    except Exception as error:  # those of the engines have no common type
        raise EngineError(f"the promptable model in {folder} cannot be run: {first_line(error)}") from error
