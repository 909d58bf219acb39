"""When a picture was taken, when it is due, and whether it is too old: pure arithmetic, no clock is read.

Three clocks can tell when a picture was taken. The camera's own reaches us through RTP sender
reports: FFmpeg adds it to each packet as "prft" side data. A driver's stamp is on the monotonic
clock. Where neither is to be had, the time of arrival stands in.
"""

from __future__ import annotations

import statistics
import struct

from streamseg.structures.frame import Clock

__all__ = [
    "NS_PER_SECOND",
    "ArrivalLag",
    "Backlog",
    "CameraClock",
    "PtsPace",
    "driver_stamp_ns",
    "parse_prft",
    "wall_ns_at",
]

NS_PER_SECOND = 1_000_000_000


def wall_ns_at(monotonic_ns: int, *, now_monotonic_ns: int, now_wall_ns: int) -> int:
    """The wall clock (ns since the Unix epoch) at a moment of the monotonic clock."""
    return now_wall_ns - (now_monotonic_ns - monotonic_ns)


def parse_prft(side_data: bytes) -> int | None:
    """The camera's wall clock in ns since the Unix epoch, from FFmpeg's AVProducerReferenceTime.

    Its first field is an int64 in µs since the Unix epoch, in the machine's byte order. None where
    there is no such time: the bytes are empty until the first sender report, about a second in.
    """
    if len(side_data) < 8:
        return None
    (microseconds,) = struct.unpack_from("=q", side_data)
    return int(microseconds) * 1000 if microseconds > 0 else None


def driver_stamp_ns(position_ms: float, received_monotonic_ns: int) -> int | None:
    """A driver's stamp on the monotonic clock in ns; None where it cannot be one.

    V4L2 stamps pictures by the monotonic clock; other drivers count from when the camera was opened,
    or not at all. A stamp is believed if it lies within the last second.
    """
    stamp_ns = round(position_ms * 1e6)
    return stamp_ns if 0 <= received_monotonic_ns - stamp_ns < NS_PER_SECOND else None


class CameraClock:
    """Believes a camera's clock while it is plausible.

    Cheap cameras start in 1970 or have never heard of daylight saving; nothing in the stream says so.
    """

    LONGEST_AGE_NS = 10 * NS_PER_SECOND
    """A picture that claims to be older on arrival was stamped by a wrong clock."""
    FUTURE_TOLERANCE_NS = NS_PER_SECOND // 10
    """Two clocks that are kept by NTP may differ by this much."""

    def __init__(self) -> None:
        self.num_rejected = 0
        """Stamps that were not believed."""
        self.rejected_offset_ns: int | None = None
        """Camera minus our wall clock, of the last stamp that was not believed."""

    def stamp(self, camera_ns: int | None, arrived_wall_ns: int) -> tuple[int, Clock]:
        """(captured_ns, clock) of a picture that arrived at `arrived_wall_ns`, never later than that."""
        if camera_ns is None:
            return arrived_wall_ns, "arrival"
        offset_ns = camera_ns - arrived_wall_ns
        if not -self.LONGEST_AGE_NS <= offset_ns <= self.FUTURE_TOLERANCE_NS:
            self.num_rejected += 1
            self.rejected_offset_ns = offset_ns
            return arrived_wall_ns, "arrival"
        return min(camera_ns, arrived_wall_ns), "camera"


class PtsPace:
    """When the pictures of a file are due, if it is to run as a camera would.

    Stamps that jump (a cut recording, a file that starts again) and a reader that fell behind by
    more than `MOST_BEHIND_SECONDS` set a new start, so that neither a pause nor a rush follows.
    """

    LONGEST_GAP_SECONDS = 10.0
    MOST_BEHIND_SECONDS = 1.0

    def __init__(self) -> None:
        self._start_seconds = 0.0
        self._last_pts_seconds: float | None = None

    def due_seconds(self, pts_seconds: float | None, now_seconds: float) -> float:
        """The moment, on the clock of `now_seconds`, at which a picture is to be shown."""
        if pts_seconds is None:
            return now_seconds
        last, self._last_pts_seconds = self._last_pts_seconds, pts_seconds
        due = self._start_seconds + pts_seconds
        jumped = last is None or not 0 <= pts_seconds - last <= self.LONGEST_GAP_SECONDS
        if jumped or now_seconds - due > self.MOST_BEHIND_SECONDS:
            self._start_seconds = now_seconds - pts_seconds
            due = now_seconds
        return due


class ArrivalLag:
    """How late pictures arrive, compared with how they used to on this connection.

    What is usual is the median lag of the best two seconds so far. Not of the best picture: the burst with
    which a server begins and single stamps that are wrong would make all that follow look late.
    """

    BLOCK_SECONDS = 2.0
    DRIFT = 1e-3
    """Seconds by which the usual may worsen per second, so that clocks that run apart do not add up."""
    LONGEST_SECONDS = 30.0
    """Whatever seems later than this has had its time line changed."""

    def __init__(self) -> None:
        self._usual_seconds: float | None = None
        self._block: list[float] = []
        self._block_began = 0.0

    def lateness_seconds(self, stamp_seconds: float | None, arrived_seconds: float) -> float:
        """Seconds >= 0; 0 in the first two seconds, and for a picture without a time stamp."""
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


class Backlog:
    """Tells which pictures are leftovers of a stall, not worth converting.

    Late alone is no reason: the way may have become longer for good. The reader also must not have
    had to wait for it, so that newer ones are queued behind it; and the source never goes dark.
    """

    BOUND_SECONDS = 0.25
    NO_WAIT_SECONDS = 0.005
    DARK_SECONDS = 0.5

    def __init__(self) -> None:
        self._last_kept_seconds: float | None = None

    def leaves_out(self, *, lateness_seconds: float, waited_seconds: float, now_seconds: float) -> bool:
        """Whether to leave out a picture that is so late and that the reader waited so long for."""
        behind = lateness_seconds > self.BOUND_SECONDS and waited_seconds < self.NO_WAIT_SECONDS
        last = self._last_kept_seconds
        if behind and last is not None and now_seconds - last < self.DARK_SECONDS:
            return True
        self._last_kept_seconds = now_seconds
        return False
