"""Where weights are kept."""

from __future__ import annotations

from pathlib import Path

from streamseg.paths import cache_folder

__all__ = ["cache_folder", "weights_folder"]


def weights_folder() -> Path:
    """Where downloaded weights are kept: `weights` in the cache folder. It need not exist."""
    return cache_folder() / "weights"
