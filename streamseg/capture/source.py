"""The protocol of a frame source, and two helpers of sources: frame indices and reconnection delays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["Backoff", "FrameCounter", "Source"]


class Source(Protocol):
    """Source of the frames of one camera, file, folder or scene. It delivers them once.

    A source is used by a single thread, except for `stop` and for reading `drops`. Nothing is opened
    before the first step of `frames()`. Everything opened is closed when that iterator ends, is closed
    or raises.
    """

    source_id: str
    """Name in topics and files, and in every frame."""
    frame_id: str
    """Name of the coordinate frame (robotics); may be empty."""
    is_live: bool
    """True: the newest frame has priority and older ones may be dropped. False: every frame must be processed."""
    drops: DropCounter
    """Frames that this source did not deliver, stage "capture". Their number equals the number of missing
    values of `Frame.index`."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames when they arrive, blocking in between, until the source ends or `stop` is called.

        Raises:
            SourceError: the source cannot be opened, or failed in a way that a retry cannot fix.
        """
        ...

    def stop(self) -> None:
        """End `frames()`. Thread-safe and idempotent.

        The iterator ends within 0.2 s, or as soon as the driver returns from a read that cannot be interrupted.
        """
        ...


class FrameCounter:
    """Counter that assigns frame indices: every missing index is one counted drop."""

    def __init__(self, drops: DropCounter, *, vid_stride: int = 1) -> None:
        self._drops = drops
        self._vid_stride = vid_stride
        self._num_frames = 0
        self._next_index = 0

    def next_index(self) -> int | None:
        """Return the index of the next frame; None if the stride skips it."""
        position = self._num_frames
        self._num_frames += 1
        if position % self._vid_stride:
            return None
        index = self._next_index
        self._next_index += 1
        return index

    def drop(self, reason: str) -> None:
        """Count the next frame as lost, unless the stride skips it anyway."""
        if self.next_index() is not None:
            self._drops.count("capture", reason)


class Backoff:
    """Delay after each failed connection: 0.5 s, doubling up to 10 s.

    A connection that lasted `STABLE_SECONDS` resets the delay. A connection that is accepted and lost
    at once does not: otherwise it would be retried twice a second forever.
    """

    FIRST_SECONDS = 0.5
    LONGEST_SECONDS = 10.0
    STABLE_SECONDS = 5.0

    def __init__(self) -> None:
        self._next_seconds = self.FIRST_SECONDS
        self._connected_at: float | None = None

    def connected(self, now_seconds: float) -> None:
        """Report that the source delivers; repeated calls have no effect."""
        if self._connected_at is None:
            self._connected_at = now_seconds

    def failed(self, now_seconds: float) -> float:
        """Report a lost or failed connection, and return the delay in seconds before the next attempt."""
        if self._connected_at is not None and now_seconds - self._connected_at >= self.STABLE_SECONDS:
            self._next_seconds = self.FIRST_SECONDS
        self._connected_at = None
        delay = self._next_seconds
        self._next_seconds = min(2 * delay, self.LONGEST_SECONDS)
        return delay
