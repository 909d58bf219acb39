"""Times of a camera from its RTCP sender reports (RFC 3550, section 6.4.1). Pure."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from streamseg.capture.clock import NS_PER_SECOND, CameraTime

__all__ = ["SenderClock", "SenderReport", "StampUnwrapper", "has_goodbye", "parse_rtcp"]

SENDER_REPORT: Final = 200
GOODBYE: Final = 203
NTP_EPOCH_SECONDS: Final = 2_208_988_800
"""Seconds from the NTP epoch (1900) to the Unix epoch (1970)."""


class SenderReport(NamedTuple):
    """The same moment on the camera's wall clock and on the clock of its RTP time stamps."""

    ssrc: int
    wall_ns: int
    """Nanoseconds since the Unix epoch; 0 if the camera has no wall clock."""
    stamp: int


def _packets(data: bytes) -> list[tuple[int, bytes]]:
    """Return the type and body of each packet of a compound; those before a truncated one."""
    found = []
    while len(data) >= 4 and data[0] >> 6 == 2:
        size = 4 + 4 * int.from_bytes(data[2:4], "big")
        if len(data) < size:
            break
        found.append((data[1], data[4:size]))
        data = data[size:]
    return found


def parse_rtcp(data: bytes) -> list[SenderReport]:
    """Return the sender reports of a compound packet; empty if it has none or is damaged."""
    reports = []
    for kind, body in _packets(data):
        if kind == SENDER_REPORT and len(body) >= 16:
            ssrc, seconds, fraction, stamp = struct.unpack_from(">IIII", body)
            wall_ns = 0
            if seconds or fraction:
                # Seconds wrap in 2036; the highest bit tells the eras apart (RFC 4330, section 3).
                seconds += 0 if seconds >> 31 else 1 << 32
                wall_ns = (seconds - NTP_EPOCH_SECONDS) * NS_PER_SECOND + (fraction * NS_PER_SECOND >> 32)
            reports.append(SenderReport(ssrc, wall_ns, stamp))
    return reports


def has_goodbye(data: bytes) -> bool:
    """Return whether a compound packet announces the end of the stream."""
    return any(kind == GOODBYE for kind, _ in _packets(data))


def _signed(difference: int) -> int:
    """Return the difference of two 32-bit time stamps, -2^31..2^31 - 1."""
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)


class StampUnwrapper:
    """Continuous time stamps from those of 32 bits, which wrap every 13 hours at 90 kHz."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, stamp: int) -> int:
        """Return the stamp without wraps, relative to the first one."""
        if self._last is None:
            self._last = self._first = stamp
        self._last += _signed(stamp - self._last)
        return self._last - self._first


class SenderClock:
    """Camera times of RTP time stamps, from the latest sender report.

    Args:
        clock_rate: clock rate of the time stamps in Hz.
    """

    STEP_NS = NS_PER_SECOND // 4
    """A larger disagreement of two sender reports is a step of the camera's clock; a smaller one is drift."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._report: SenderReport | None = None
        self._stepped_ns = 0

    def report(self, report: SenderReport) -> None:
        """Record a sender report; one without a wall clock is ignored."""
        if not report.wall_ns:
            return
        if self._report is not None:
            step_ns = report.wall_ns - self._wall_ns(self._report, report.stamp)
            if report.ssrc != self._report.ssrc:
                self._stepped_ns = 0  # another stream: its time stamps cannot be compared
            elif abs(step_ns) > self.STEP_NS:
                self._stepped_ns += step_ns
        self._report = report

    def at(self, stamp: int) -> CameraTime | None:
        """Return the camera's time of a time stamp; None before the first sender report."""
        if self._report is None:
            return None
        return CameraTime(self._wall_ns(self._report, stamp), self._stepped_ns)

    def _wall_ns(self, report: SenderReport, stamp: int) -> int:
        return report.wall_ns + _signed(stamp - report.stamp) * NS_PER_SECOND // self._clock_rate
