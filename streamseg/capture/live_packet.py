"""Packets of a live stream, as its readers deliver them to the decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import av

from streamseg.capture.clock import CameraTime

__all__ = ["Arrival", "LivePacket"]


class Arrival(NamedTuple):
    """Times of a packet, kept until the decoder outputs its frame."""

    camera: CameraTime | None
    """Capture time on the camera's clock; None if unknown."""
    wall_ns: int
    """Our wall clock at the arrival of its first bytes, ns since the Unix epoch."""
    monotonic_ns: int
    """The monotonic clock at that moment, in ns."""


class LivePacket(NamedTuple):
    """One encoded frame of a live stream."""

    packet: av.Packet[Any]
    arrival: Arrival
    released_ns: int
    """Monotonic time at which the reader released it, in ns."""
    is_damaged: bool = False
    """True if parts of it are missing: it must not be decoded."""
    has_newer: bool | None = None
    """Whether newer data had arrived by then; None if the reader cannot tell."""

    @property
    def stamp_seconds(self) -> float | None:
        """Time stamp in decoding order, in seconds; None if it has none."""
        stamp = self.packet.pts if self.packet.dts is None else self.packet.dts
        base = self.packet.time_base
        # The quotient of two integers is rounded once, as that of a fraction, which takes ten times as long.
        return None if stamp is None or base is None else stamp * base.numerator / base.denominator
