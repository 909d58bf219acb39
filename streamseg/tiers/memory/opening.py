"""Opening of the memory tier of a configuration."""

from __future__ import annotations

from pathlib import Path

from streamseg.config import FollowConfig
from streamseg.errors import EngineError
from streamseg.tiers.memory.loading import load_video_model
from streamseg.tiers.memory.tier import SessionMemoryTier
from streamseg.tiers.model_folder import device_of, first_line

__all__ = ["open_memory_tier"]


def open_memory_tier(config: FollowConfig, folder: Path, *, is_live: bool = True) -> SessionMemoryTier:
    """Load the video model of a configuration, and measure its stages.

    Args:
        config: the section of the configuration, with a model.
        folder: the folder of the model.
        is_live: frames do not wait for more than the budget; False: they wait for the model, as those of files do.

    Raises:
        ConfigError: transformers is not installed.
        WeightsError: the folder is missing, is no video model, or is damaged.
        EngineError: there is no such device, or the model cannot be run on it.
    """
    tier = SessionMemoryTier(
        load_video_model(folder, device=device_of(config.device)),
        name=config.model or folder.name,
        max_objects=config.objects,
        budget_ms=config.budget_ms if is_live else None,
    )
    try:
        tier.warm_up()
    except Exception as error:  # those of the engines have no common type
        raise EngineError(f"the video model in {folder} cannot be run: {first_line(error)}") from error
    return tier
