"""Times of the frames of a live stream: on its time line, and of the capture."""

from __future__ import annotations

import logging
from collections import Counter

from streamseg.capture.clock import NS_PER_SECOND, CameraClock
from streamseg.capture.live_packet import Arrival
from streamseg.capture.timeline import LiveTimeline, describe_mended
from streamseg.structures.frame import Clock

__all__ = ["LiveTimes"]

logger = logging.getLogger(__name__)


class LiveTimes:
    """Times of the frames of one source over all its connections. What is wrong with its stamps is logged once.

    Args:
        source_id: id of the source.
    """

    def __init__(self, source_id: str) -> None:
        self.camera_clock = CameraClock()
        """The camera's own clock, with the number of rejected time stamps."""
        self._source_id = source_id
        self._timeline = LiveTimeline()

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities of the time stamps that were mended so far, by kind."""
        return self._timeline.mended

    def reconnected(self) -> None:
        """Report a new connection."""
        self._timeline.reconnected()
        self.camera_clock.reconnected()

    def pts_seconds(self, stamp_seconds: float | None, arrival: Arrival) -> float | None:
        """Return the time of a frame on the source's time line."""
        num_mended = self._timeline.mended.total()
        seconds = self._timeline.at(stamp_seconds, arrival.monotonic_ns)
        if not num_mended and self._timeline.mended:
            logger.warning(
                "%s: %s by the time of arrival; further ones are not logged",
                self._source_id,
                describe_mended(self._timeline.mended),
                extra={"source": self._source_id},
            )
        return seconds

    def lag(self, arrival: Arrival) -> tuple[int, Clock]:
        """Return the age of a frame on arrival in ns, and the clock that measured it."""
        was_trusted = self.camera_clock.num_rejected == 0
        lag_ns, clock = self.camera_clock.stamp(arrival.camera, arrival.wall_ns, arrival.monotonic_ns)
        if was_trusted and self.camera_clock.rejected_offset_ns is not None:
            logger.warning(
                "%s: the camera's clock is off by %+.1f s, using the time of arrival instead; synchronise it by NTP",
                self._source_id,
                self.camera_clock.rejected_offset_ns / NS_PER_SECOND,
                extra={"source": self._source_id},
            )
        return lag_ns, clock
