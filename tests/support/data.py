"""The folder of test images and clips that is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.paths import REPOSITORY


def data_folder() -> Path | None:
    """Return `STREAMSEG_DATA` if set, else `shared/data` beside the repository; None if the folder does not exist."""
    named = os.environ.get("STREAMSEG_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None
