"""ffplay itself as a reader: the time at which it has decoded an image, from the records of its filter `showinfo`.

The filter reports the checksum of an image, not its pixels. A second reader of the same stream decodes the same pixels,
because all clients of the camera receive the same bytes and H.264 decoders are exact.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Generator

import numpy as np

from benchmarks.rtsp_latency import pattern

__all__ = ["ffplay", "has_ffplay"]

CODE_ROWS = 2 * pattern.CELL
"""Rows of the image that carry its time."""
TIMEOUT_US = 10_000_000
"""Time without data after which the turn fails."""
SILENT_SECONDS = 20.0
"""Time without an image of ffplay after which the turn ends."""
_CHECKSUM = re.compile(r"plane_checksum:\[([0-9A-F]{8})")
Reading = tuple[np.ndarray, int, float | None]


def has_ffplay() -> bool:
    """Return whether ffplay is installed (Debian: ffmpeg)."""
    return shutil.which("ffplay") is not None


def ffplay(url: str, *options: str) -> Generator[Reading]:
    """Run ffplay without a display; yield its images as `readers.Reading`.

    Args:
        url: stream of the camera.
        options: options of ffplay before the address.
    """
    import av

    command = ["ffplay", "-nostats", "-an", "-rtsp_transport", "tcp", *options]
    # The display, which is not measured, must not wait: after RTCP's first report, time stamps jump, ffplay waits for
    # the time of the next image, and stops reading, which blocks the camera for all its clients.
    command += ["-vf", f"crop={pattern.WIDTH}:{CODE_ROWS}:0:0,showinfo,setpts=N/1000/TB", url]
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment) as run:
        decoded: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        threading.Thread(target=_read_records, args=(run, decoded), daemon=True).start()
        levels: dict[int, np.ndarray] = {}
        times: dict[int, int] = {}
        try:
            reading = {"rtsp_transport": "tcp", "fflags": "nobuffer", "probesize": "32", "analyzeduration": "0"}
            reading["timeout"] = str(TIMEOUT_US)
            last = time.monotonic()
            with av.open(url, options=reading) as container:
                for frame in container.decode(video=0):
                    luma = _luma(frame)
                    levels[zlib.adler32(luma[:CODE_ROWS].tobytes(), 0)] = luma
                    while not decoded.empty():
                        checksum, now_ns = decoded.get()
                        times[checksum] = now_ns
                    for checksum in sorted(levels.keys() & times.keys(), key=times.__getitem__):
                        yield levels.pop(checksum), times.pop(checksum), None
                        last = time.monotonic()
                    if time.monotonic() > last + SILENT_SECONDS:
                        return  # ffplay hangs; the number of frames in the result shows it
        finally:
            run.terminate()


def _read_records(run: subprocess.Popen[str], decoded: queue.SimpleQueue[tuple[int, int]]) -> None:
    assert run.stderr is not None
    for line in run.stderr:
        now_ns = time.monotonic_ns()
        if (found := _CHECKSUM.search(line)) is not None:
            decoded.put((int(found[1], 16), now_ns))


def _luma(frame: object) -> np.ndarray:
    """Return the levels of a decoded YUV image, uint8 (H, W)."""
    plane = frame.planes[0]  # type: ignore[attr-defined]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width].copy()
