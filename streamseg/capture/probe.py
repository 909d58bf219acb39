"""Try one source for a short time: does it deliver, how soon, and what."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from streamseg.capture.source import Source
from streamseg.errors import SourceError
from streamseg.structures.frame import Clock

__all__ = ["Probe", "probe"]

MIN_FRAMES = 10
"""A rate is measured over at least so many frames, if the time suffices."""


@dataclass(frozen=True)
class Probe:
    """What a source delivered."""

    size: tuple[int, int]
    """Size of the image, (H, W), in pixels."""
    first_seconds: float
    """Time from opening to the first image."""
    num_frames: int
    fps: float | None
    """Frames per second after the first; None if there was one frame only."""
    clock: Clock
    """Clock of the capture times."""
    num_drops: int
    """Number of frames that the source did not deliver, for example damaged ones."""


def probe(source: Source, *, timeout_seconds: float = 15.0, measure_seconds: float = 2.0) -> Probe:
    """Open a source, read frames for a moment, and stop it.

    Args:
        source: a new source; it cannot be used afterwards.
        timeout_seconds: how long to wait for the first image.
        measure_seconds: how long to read after it.

    Raises:
        SourceError: the source cannot be opened, or delivers no image in time.
    """
    started = time.monotonic()
    timer = threading.Timer(timeout_seconds, source.stop)
    timer.daemon = True
    timer.start()
    num_frames, first_at, last_at = 0, started, started
    try:
        for frame in source.frames():
            last_at = time.monotonic()
            if num_frames == 0:
                timer.cancel()
                first, first_at = frame, last_at
                # Bounds the wait for the next frame, too.
                timer = threading.Timer(measure_seconds, source.stop)
                timer.daemon = True
                timer.start()
            num_frames += 1
            if num_frames >= MIN_FRAMES and last_at - first_at >= measure_seconds:
                break
    finally:
        timer.cancel()
        source.stop()
    if num_frames == 0:
        raise SourceError(f"{source.source_id}: no image within {timeout_seconds:g} s")
    seconds = last_at - first_at
    return Probe(
        size=first.size,
        first_seconds=first_at - started,
        num_frames=num_frames,
        fps=(num_frames - 1) / seconds if num_frames > 1 and seconds > 0 else None,
        clock=first.clock,
        num_drops=sum(sum(reasons.values()) for reasons in source.drops.snapshot().values()),
    )
