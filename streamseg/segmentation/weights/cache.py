"""The folder where streamseg keeps what it made or fetched once."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "weights_folder"]


def cache_folder() -> Path:
    """Where exported graphs and downloaded weights are kept: $STREAMSEG_CACHE, or ~/.cache/streamseg."""
    named = os.environ.get("STREAMSEG_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "streamseg"


def weights_folder() -> Path:
    """Where downloaded weights are kept: `weights` in the cache folder. It need not exist."""
    return cache_folder() / "weights"
