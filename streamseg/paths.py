"""Paths of the files that streamseg caches."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_folder", "weights_folder"]


def cache_folder() -> Path:
    """Return the folder for exported graphs, weights and text encoders, which may not exist yet.

    $STREAMSEG_CACHE if it is set, else the user's cache folder of the platform. On Linux, this is ~/.cache/streamseg,
    or $XDG_CACHE_HOME/streamseg if that variable is set.
    """
    configured = os.environ.get("STREAMSEG_CACHE")
    return Path(configured) if configured else platformdirs.user_cache_path("streamseg", appauthor=False)


def weights_folder() -> Path:
    """Return the folder for downloaded weights, `weights` in the cache folder, which may not exist yet."""
    return cache_folder() / "weights"
