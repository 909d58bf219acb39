"""An animated image file (GIF, WebP, PNG, AVIF) as a source of frames."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

from streamseg.capture.pacing import Playback
from streamseg.capture.source import FrameCounter
from streamseg.capture.timeline import Timeline
from streamseg.config import StreamSource
from streamseg.config.address import local_path
from streamseg.errors import SourceError
from streamseg.imaging import AnimationFrame, animation_frames, num_animation_frames
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["AnimatedImage"]

PERIOD_SECONDS = 0.1
"""Nominal frame period, as in browsers."""


class AnimatedImage:
    """Source that delivers every frame of an animation, once or in a loop, or plays it in real time (mode live)."""

    def __init__(self, config: StreamSource) -> None:
        """Count the frames.

        Raises:
            SourceError: the file cannot be read.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode == "live"
        self.drops = DropCounter()
        self._path = local_path(config.url)
        self.num_frames: int | None = num_animation_frames(self._path)
        """Number of frames of one pass."""
        self.fps: float | None = None
        """Unknown: each frame has a duration of its own."""
        self._loop = config.loop
        self._counter = FrameCounter(self.drops, vid_stride=config.vid_stride)
        self._stopped = threading.Event()
        self._playback = Playback(self._stopped) if self.is_live else None
        # Durations leave no doubt: a time is decided without later frames, and a pass ends after its last duration.
        self._timeline = Timeline[AnimationFrame](PERIOD_SECONDS, lookahead=0)

    def frames(self) -> Iterator[Frame]:
        """Yield frames to the end of the file, or repeatedly if it loops.

        Raises:
            SourceError: the file cannot be read, or is truncated.
        """
        offset_seconds = 0.0
        while not self._stopped.is_set():
            end_seconds = offset_seconds
            for decoded, pts_seconds in self._timed(offset_seconds):
                end_seconds = offset_seconds + decoded.seconds + decoded.duration_seconds
                index = self._counter.next_index()
                if index is None:
                    continue
                if self._playback is not None and not self._playback.wait_until_due(pts_seconds):
                    self.drops.count("capture", "late")
                    continue
                if self._stopped.is_set():
                    return
                yield Frame(
                    image=decoded.image,
                    source_id=self.source_id,
                    index=index,
                    pts_seconds=pts_seconds,
                    captured_ns=time.time_ns(),
                    clock="arrival",
                    received_ns=time.monotonic_ns(),
                )
            if end_seconds == offset_seconds:
                raise SourceError(f"{self._path}: no frame can be decoded")
            if not self._loop:
                return
            offset_seconds = end_seconds

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities of the time stamps that were mended so far, by kind."""
        return self._timeline.mended.copy()

    def _timed(self, offset_seconds: float) -> Iterator[tuple[AnimationFrame, float]]:
        """Yield the frames of one pass, which begins at `offset_seconds`, with their times."""
        for decoded in animation_frames(self._path):
            yield from self._timeline.add(decoded, offset_seconds + decoded.seconds)

    def stop(self) -> None:
        """End `frames()` before its next frame."""
        self._stopped.set()
