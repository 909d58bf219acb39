"""A video output device for programs in other processes: a regular file that answers the requests of V4L2.

The kernel module v4l2loopback cannot be loaded where tests run. A preloaded library answers what FFmpeg and streamseg
ask of a device; the images are written to the file, one after the other.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["COMPILER", "preloaded"]

COMPILER = shutil.which("gcc") or shutil.which("cc")


def preloaded(folder: Path) -> dict[str, str]:
    """Compile the library into a folder, and return the environment variable that loads it."""
    assert COMPILER is not None
    library = folder / "v4l2_output.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}
