"""The folder where streamseg keeps what it made or fetched once."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Where graphs, weights and encoders are kept: $STREAMSEG_CACHE, or ~/.cache/streamseg. It need not exist."""
    named = os.environ.get("STREAMSEG_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "streamseg"
