"""Capture times and lateness: pure arithmetic that reads no clock.

Three clocks can provide the capture time of a frame. The camera's own clock arrives through RTP sender
reports: FFmpeg attaches it to each packet as "prft" side data. A driver's time stamp is on the
monotonic clock. If neither is available, the time of arrival is used.
"""

from __future__ import annotations

import statistics
import struct
from typing import NamedTuple

from streamseg.structures.frame import Clock

__all__ = ["NS_PER_SECOND", "ArrivalLag", "CameraClock", "CameraTime", "driver_stamp_ns", "parse_prft", "wall_ns_at"]

NS_PER_SECOND = 1_000_000_000


def wall_ns_at(monotonic_ns: int, *, now_monotonic_ns: int, now_wall_ns: int) -> int:
    """Convert a time of the monotonic clock to the wall clock (ns since the Unix epoch)."""
    return now_wall_ns - (now_monotonic_ns - monotonic_ns)


def parse_prft(side_data: bytes) -> int | None:
    """Parse FFmpeg's AVProducerReferenceTime: the camera's wall clock in ns since the Unix epoch.

    Its first field is an int64 in µs since the Unix epoch, in native byte order. Return None if there is
    no such time: the bytes are empty until the first sender report, after about a second.
    """
    if len(side_data) < 8:
        return None
    (microseconds,) = struct.unpack_from("=q", side_data)
    return int(microseconds) * 1000 if microseconds > 0 else None


def driver_stamp_ns(position_ms: float, received_monotonic_ns: int) -> int | None:
    """Convert a driver's time stamp to the monotonic clock in ns; None if it is implausible.

    V4L2 stamps frames with the monotonic clock. Other drivers count from the opening of the camera,
    or not at all. A stamp is accepted if it lies within the last second.
    """
    stamp_ns = round(position_ms * 1e6)
    return stamp_ns if 0 <= received_monotonic_ns - stamp_ns < NS_PER_SECOND else None


class CameraTime(NamedTuple):
    """Time of a frame on the camera's clock."""

    wall_ns: int
    """Nanoseconds since the Unix epoch."""
    stepped_ns: int = 0
    """Sum of the steps of the camera's clock during this connection, in ns, as far as they are known."""


class CameraClock:
    """Capture times from a camera's clock as long as it is plausible, otherwise from the time of arrival.

    Cheap cameras start in 1970 or ignore daylight saving time, and the stream does not reveal it. Thus the age of a
    frame on arrival is bounded: between `FUTURE_TOLERANCE_NS` ahead of our clock, and `LONGEST_AGE_NS`.

    The relation of the two clocks is fixed when the camera's clock is first trusted, on the monotonic clock. Later
    steps of either wall clock, such as a correction by NTP, do not change the age of frames. If the relation becomes
    implausible, it is fixed again by the wall clocks of that moment.
    """

    LONGEST_AGE_NS = 10 * NS_PER_SECOND
    """A frame that appears older than this on arrival was stamped by a wrong clock."""
    FUTURE_TOLERANCE_NS = NS_PER_SECOND // 10
    """Two clocks synchronised by NTP may differ by this much."""

    def __init__(self) -> None:
        self.num_rejected = 0
        """Number of rejected stamps."""
        self.rejected_offset_ns: int | None = None
        """Camera clock minus our wall clock in ns, at the last rejected stamp."""
        self._relation: tuple[int, int] | None = None  # wall minus monotonic clock, steps of the camera by then

    def stamp(self, camera: CameraTime | None, arrived_wall_ns: int, arrived_ns: int) -> tuple[int, Clock]:
        """Return (lag_ns, clock) of a frame: its age on arrival in ns, >= 0, and the clock that measured it.

        Args:
            camera: the frame's time on the camera's clock; None if unknown.
            arrived_wall_ns: our wall clock at its arrival, in ns.
            arrived_ns: the monotonic clock at its arrival, in ns.
        """
        if camera is None:
            return 0, "arrival"
        current = (arrived_wall_ns - arrived_ns, camera.stepped_ns)
        for relation in (self._relation or current, current):
            host_offset_ns, stepped_ns = relation
            camera_ns = camera.wall_ns - (camera.stepped_ns - stepped_ns)
            lag_ns = arrived_ns + host_offset_ns - camera_ns
            if -self.FUTURE_TOLERANCE_NS <= lag_ns <= self.LONGEST_AGE_NS:
                self._relation = relation
                return max(lag_ns, 0), "camera"
        self.num_rejected += 1
        self.rejected_offset_ns = camera.wall_ns - arrived_wall_ns
        return 0, "arrival"

    def reconnected(self) -> None:
        """Report a new connection: the camera may have restarted, and its clock with it."""
        self._relation = None


class ArrivalLag:
    """Lateness of frames relative to the usual lag of their connection.

    The usual lag is the median of the best two seconds so far. The best single frame would not do: the
    initial burst of a server, or a single wrong stamp, would make all later frames appear late.
    """

    BLOCK_SECONDS = 2.0
    DRIFT = 1e-3
    """Seconds per second by which the usual lag may grow, because two clocks that drift apart must not add up."""
    LONGEST_SECONDS = 30.0
    """A larger lateness means that the time line has changed."""

    def __init__(self) -> None:
        self._usual_seconds: float | None = None
        self._block: list[float] = []
        self._block_began = 0.0

    def lateness_seconds(self, stamp_seconds: float | None, arrived_seconds: float) -> float:
        """Return the lateness in seconds, >= 0; 0 in the first two seconds, and for a frame without a time stamp."""
        if stamp_seconds is None:
            return 0.0
        lag = arrived_seconds - stamp_seconds
        if self._usual_seconds is not None and lag - self._usual_seconds > self.LONGEST_SECONDS:
            self._usual_seconds, self._block = None, []
        if not self._block:
            self._block_began = arrived_seconds
        elapsed = arrived_seconds - self._block_began
        if elapsed >= self.BLOCK_SECONDS:
            median = statistics.median(self._block)
            worst = median if self._usual_seconds is None else self._usual_seconds + self.DRIFT * elapsed
            self._usual_seconds = min(median, worst)
            self._block, self._block_began = [], arrived_seconds
        self._block.append(lag)
        return 0.0 if self._usual_seconds is None else max(lag - self._usual_seconds, 0.0)
