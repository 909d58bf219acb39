"""RTP packets (RFC 3550): parsing, order and gaps. Pure: no sockets, no clock."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["OrderedPacket", "PacketOrder", "RtpPacket", "parse_rtp"]

HEADER: Final = struct.Struct(">BBHII")
VERSION: Final = 2


class RtpPacket(NamedTuple):
    """One RTP packet without padding."""

    payload_type: int
    has_marker: bool
    """In video: the last packet of an access unit."""
    sequence: int
    """Sequence number, 0..65535; wraps."""
    stamp: int
    """Time stamp in units of the clock rate, 0..2^32 - 1; wraps."""
    ssrc: int
    """Identifier of the sender; changes when a camera restarts its stream."""
    payload: bytes


class OrderedPacket(NamedTuple):
    """A packet in the order of the sequence numbers."""

    packet: RtpPacket
    arrived_ns: int
    """Monotonic time of arrival in ns."""
    follows_gap: bool
    """True if at least one packet before this one is missing."""


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Parse a packet; None if it is no RTP packet of version 2, or is truncated."""
    if len(data) < HEADER.size:
        return None
    flags, kind, sequence, stamp, ssrc = HEADER.unpack_from(data)
    if flags >> 6 != VERSION:
        return None
    begin, end = HEADER.size + 4 * (flags & 0x0F), len(data)
    if flags & 0x10:  # header extension: profile, length in words
        if begin + 4 > end:
            return None
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    if flags & 0x20 and begin < end:  # padding; its last byte is its length
        num_padding = data[-1]
        if not num_padding:
            return None
        end -= num_padding
    if begin > end:
        return None
    return RtpPacket(kind & 0x7F, bool(kind & 0x80), sequence, stamp, ssrc, data[begin:end])


class PacketOrder:
    """Puts packets into the order of their sequence numbers, drops duplicates and reports gaps.

    A packet that arrives out of order waits for the missing ones. Two consecutive packets far from the expected number
    are a restarted sender (RFC 3550, A.1).

    Args:
        depth: number of packets that may wait; 0 for a transport that keeps the order, such as TCP.
        longest_ns: longest time that a packet waits, in ns.
    """

    def __init__(self, *, depth: int = 0, longest_ns: int = 0) -> None:
        self._depth = depth
        self._longest_ns = longest_ns
        self._ssrc: int | None = None
        self._next = 0  # not reduced modulo 2^16
        self._waiting: dict[int, tuple[RtpPacket, int]] = {}
        self._restart_at: int | None = None
        self.num_lost = 0
        """Number of packets that did not arrive in time."""

    @property
    def due_ns(self) -> int | None:
        """Time at which `flush` gives up missing packets, in ns; None if no packet waits."""
        return min(at for _, at in self._waiting.values()) + self._longest_ns if self._waiting else None

    def add(self, packet: RtpPacket, now_ns: int) -> Iterator[OrderedPacket]:
        """Add a packet; yield the packets whose turn it is."""
        if packet.ssrc != self._ssrc:
            is_first = self._ssrc is None
            yield from self._restart(packet, now_ns, follows_gap=not is_first)
            return
        offset = (packet.sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if offset < 0:
            is_restart = packet.sequence == self._restart_at
            self._restart_at = (packet.sequence + 1) % 0x10000
            if is_restart and offset < -max(self._depth, 100):
                yield from self._restart(packet, now_ns, follows_gap=True)
            return
        self._restart_at = None
        self._waiting.setdefault(self._next + offset, (packet, now_ns))
        yield from self._take(follows_gap=False)
        yield from self.flush(now_ns)

    def flush(self, now_ns: int) -> Iterator[OrderedPacket]:
        """Give up missing packets that are overdue; yield the packets that waited for them."""
        while self._waiting and (len(self._waiting) > self._depth or now_ns >= (self.due_ns or 0)):
            first = min(self._waiting)
            self.num_lost += first - self._next
            self._next = first
            yield from self._take(follows_gap=True)

    def _take(self, *, follows_gap: bool) -> Iterator[OrderedPacket]:
        while (found := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield OrderedPacket(*found, follows_gap)
            follows_gap = False

    def _restart(self, packet: RtpPacket, now_ns: int, *, follows_gap: bool) -> Iterator[OrderedPacket]:
        self._waiting.clear()
        self._restart_at = None
        self._ssrc, self._next = packet.ssrc, packet.sequence + 1
        yield OrderedPacket(packet, now_ns, follows_gap)
