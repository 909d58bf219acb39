"""The protocol of a frame source, and helpers of sources: frame indices and reconnection delays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from streamseg.capture.health import SourceHealth
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["Backoff", "CapturesOnDemand", "FrameCounter", "MendsTimes", "ReportsHealth", "Source", "Unwanted", "wanted"]


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


Unwanted = Callable[[], str | None]
"""Called once per arriving frame of a live source; returns the reason why it need not be decoded, None if it is
wanted."""


def wanted() -> str | None:
    """Return None: every frame is wanted."""
    return None


@runtime_checkable
class CapturesOnDemand(Protocol):
    """A live source that asks before it decodes or renders a frame. Frames that are not wanted are counted as drops."""

    unwanted: Unwanted
    """Set before `frames()`; `wanted` by default."""


@runtime_checkable
class ReportsHealth(Protocol):
    """A source that reports its connections and failures itself, such as a network stream."""

    health: SourceHealth
    """State of the source; its frames are reported by their consumer."""


@runtime_checkable
class MendsTimes(Protocol):
    """A source that counts the discontinuities of its time stamps."""

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities that were mended so far, by kind."""
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

    @property
    def num_frames(self) -> int:
        """Number of frames so far, with those that were lost and those that the stride skips."""
        return self._num_frames

    def drop(self, reason: str) -> None:
        """Count the next frame as lost, unless the stride skips it anyway."""
        if self.next_index() is not None:
            self._drops.count("capture", reason)


class Backoff:
    """Delay after each failed connection: 0.5 s, doubling up to 10 s by default.

    A connection that lasted `STABLE_SECONDS` resets the delay. A connection that is accepted and lost
    at once does not: otherwise it would be retried twice a second forever.

    Args:
        first_seconds: delay after the first failure.
        longest_seconds: longest delay.
        random: uniform random numbers in 0..1 that vary each delay by up to `JITTER`; None: exact delays.
    """

    FIRST_SECONDS = 0.5
    LONGEST_SECONDS = 10.0
    STABLE_SECONDS = 1.0
    JITTER = 0.2
    """Largest random change of a delay, as a fraction of it."""

    def __init__(
        self,
        *,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        random: Callable[[], float] | None = None,
    ) -> None:
        self._first_seconds = self._next_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._random = random
        self._connected_at: float | None = None

    def connected(self, now_seconds: float) -> None:
        """Report that the source delivers; repeated calls have no effect."""
        if self._connected_at is None:
            self._connected_at = now_seconds

    def failed(self, now_seconds: float) -> float:
        """Report a lost or failed connection, and return the delay in seconds before the next attempt."""
        if self._connected_at is not None and now_seconds - self._connected_at >= self.STABLE_SECONDS:
            self._next_seconds = self._first_seconds
        self._connected_at = None
        delay = self._next_seconds
        self._next_seconds = min(2 * delay, self._longest_seconds)
        if self._random is not None:
            delay *= 1.0 + self.JITTER * (2.0 * self._random() - 1.0)
        return delay
