"""Opening of the tiers of a configuration."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamseg.config import Config
from streamseg.tiers.catalogue import find_model_path
from streamseg.tiers.contract import Tiers

if TYPE_CHECKING:
    from streamseg.tiers.quality.tier import StartMasks

__all__ = ["open_tiers"]

logger = logging.getLogger(__name__)


def open_tiers(config: Config, start: StartMasks | None = None) -> Tiers:
    """Load the models of the tiers and measure their times; without any, nothing is imported.

    Args:
        config: the configuration of the run; its sections `quality` and `follow` are used.
        start: decodes in the background, for live video. None: each frame waits for the quality tier.

    Raises:
        ConfigError: a model is unknown, or a package that it needs is not installed.
        WeightsError: the files of a model are missing or damaged.
        EngineError: there is no such device, or a model cannot be run on it.
    """
    quality = memory = None
    if config.quality.model is not None:
        from streamseg.tiers.quality.opening import open_quality_tier

        path = find_model_path(config.quality.model, "quality", "quality.model")
        quality = open_quality_tier(config.quality, path, start)
        if start is not None and quality.expected_ms(1) > config.quality.budget_ms:
            logger.warning(
                "quality tier: %s needs about %.0f ms for one object, more than quality.budget_ms %g: it works in the"
                " background, and its masks are used for objects that do not move",
                config.quality.model,
                quality.expected_ms(1),
                config.quality.budget_ms,
            )
    if config.follow.model is not None:
        from streamseg.tiers.memory.opening import open_memory_tier

        folder = find_model_path(config.follow.model, "memory", "follow.model")
        memory = open_memory_tier(config.follow, folder, is_live=start is not None)
    return Tiers(quality, memory)
