"""The camera as a process, and the reading of its images."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.rtsp_latency import pattern
from streamseg.structures.arrays import ImageArray

__all__ = ["BLOCK_ERROR", "NO_CAMERA", "camera", "has_camera", "largest_block_error", "read_code"]

SYSTEM_PYTHON = "/usr/bin/python3"
NO_CAMERA = "no RTSP server; apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly python3-gi"
BLOCK_ERROR = 12.0
"""Mean absolute error of a block, in levels, above which an image is damaged; encoding causes about 2."""


def has_camera() -> bool:
    """Return whether the system's Python has GStreamer's RTSP server."""
    script = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        return subprocess.run([SYSTEM_PYTHON, "-c", script], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def camera(fps: int, codec: str = "h264") -> Iterator[int]:
    """Run the camera; yield its port."""
    command = [SYSTEM_PYTHON, str(Path(__file__).with_name("camera.py")), str(fps), codec]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def read_code(luma: np.ndarray) -> tuple[int, int]:
    """Return the number of an image, modulo 2^16, and the time of its rendering in µs, modulo 2^48.

    Args:
        luma: levels (H, W).
    """
    rows = 2 * pattern.CELL
    cells = luma[:rows].reshape(2, pattern.CELL, -1, pattern.CELL).mean(axis=(1, 3)).ravel()
    code = sum(1 << bit for bit, level in enumerate(cells) if level > 128)
    return code >> pattern.NUM_TIME_BITS, code % (1 << pattern.NUM_TIME_BITS)


def largest_block_error(image: ImageArray) -> float:
    """Return the largest mean absolute error of a block of the background, in levels.

    Args:
        image: uint8 (H, W, 3) RGB, of a number that is read from it.
    """
    luma = image.astype(np.float32).mean(axis=2)
    number, _ = read_code(luma)
    ramp = np.frombuffer(pattern.RAMP, np.uint8).astype(np.float32)
    y, x = np.mgrid[: pattern.HEIGHT, : pattern.WIDTH]
    levels = ramp[(x + number * pattern.SPEED + y // pattern.BAND * 40) % len(ramp)]
    # Video levels 16..235 are shown as 0..255.
    expected = np.clip((levels - 16) * 255 / 219, 0, 255)
    error = np.abs(luma - expected)[2 * pattern.CELL :]
    return float(error.reshape(-1, pattern.CELL, pattern.WIDTH // pattern.CELL, pattern.CELL).mean(axis=(1, 3)).max())
