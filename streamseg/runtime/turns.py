"""Which frames of live sources are worth decoding. Pure: the caller supplies the time.

With more sources than the network can serve, most frames are replaced by newer ones before it is their turn. Capture
asks before it decodes or renders a frame: no, if so many other frames go first that the source's next frame will have
arrived by then. A frame that was decoded before, but whose turn did not come soon either, is then discarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["CAPTURE_NS", "STALE_SERVICES", "Place", "ServiceTime", "is_worthwhile"]

CAPTURE_NS = 200_000_000
"""Longest time for which a frame that is being decoded counts as one that goes through the network."""
STALE_SERVICES = 5
"""Number of frames that the network takes while a decoded frame waits, after which one that arrives later and is not
decoded discards it. While it waits, it goes if the sources whose turn it is are not ready; kept for longer, it would do
so up to a whole round of turns later. Discarded at once, a third more frames would be decoded."""
SMOOTHING = 0.1
"""Weight of the latest batch in the mean time per frame."""


class Place(NamedTuple):
    """Place of a live source in the line for the network."""

    served_ns: int
    """Time at which its last frame was taken; 0 before the first."""
    weight: float = 1.0
    """Its waiting time counts this many times."""
    is_supplied: bool = False
    """Whether it has a frame, or is about to have one."""

    def waiting(self, now_ns: int) -> float:
        """Return the weighted waiting time in ns; the longest goes first."""
        return (now_ns - self.served_ns) * self.weight


class ServiceTime:
    """Mean time in which a saturated network takes one frame after the other."""

    def __init__(self) -> None:
        self._mean_ns = 0.0
        self._taken_ns = 0
        self._num_frames = 0

    @property
    def per_frame_ns(self) -> float:
        """Time per frame in ns; 0 while the network has always waited for frames."""
        return self._mean_ns

    def taken(self, num_frames: int, now_ns: int, *, has_waited: bool) -> None:
        """Record that a batch was taken.

        Args:
            num_frames: number of frames in the batch.
            now_ns: monotonic time.
            has_waited: whether the network waited for it. The time since the last batch is not its own then.
        """
        if self._num_frames and not has_waited:
            sample = (now_ns - self._taken_ns) / self._num_frames
            self._mean_ns += (SMOOTHING if self._mean_ns else 1.0) * (sample - self._mean_ns)
        self._taken_ns, self._num_frames = now_ns, num_frames


def is_worthwhile(
    own: Place, others: Iterable[Place], now_ns: int, *, period_ns: float | None, service_ns: float
) -> bool:
    """Return whether a frame that has arrived should be decoded.

    Args:
        own: place of its source.
        others: the other sources.
        now_ns: monotonic time.
        period_ns: frame period of the source; None if unknown: the frame is decoded.
        service_ns: time in which the network takes one frame; 0 if unknown: the frame is decoded.
    """
    if period_ns is None or not service_ns:
        return True
    waiting = own.waiting(now_ns)
    num_ahead = 0
    for other in others:  # often the first ones decide, at each packet of each source
        if other.is_supplied and other.waiting(now_ns) > waiting:
            num_ahead += 1
            if num_ahead * service_ns >= period_ns:
                return False
    return True
