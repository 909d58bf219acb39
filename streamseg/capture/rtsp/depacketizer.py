"""Access units from RTP packets. Each is released with its last packet, not with the first of the next one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamseg.capture.rtsp.nal_units import Fragment, PayloadError, PayloadFormat
from streamseg.capture.rtsp.rtp import OrderedPacket

__all__ = ["START_CODE", "AccessUnit", "Depacketizer"]

START_CODE: Final = b"\x00\x00\x00\x01"
LARGEST_BYTES: Final = 32 * 2**20
"""A larger access unit is damage; the limit bounds the memory of a hostile stream."""


class AccessUnit(NamedTuple):
    """One encoded image with everything that belongs to it."""

    data: bytes
    """NAL units with start codes (Annex B); empty if it is damaged."""
    stamp: int
    """RTP time stamp, 0..2^32 - 1."""
    arrived_ns: int
    """Monotonic time of arrival of its first packet, in ns."""
    is_key: bool
    """True if decoding can start here."""
    is_damaged: bool
    """True if any of its packets is missing or invalid."""


@dataclass
class _Assembly:
    """Access unit of which packets are still missing."""

    stamp: int
    arrived_ns: int
    units: list[bytes] = field(default_factory=list)
    parts: list[bytes] | None = None
    """Fragments of the NAL unit in progress."""
    size: int = 0
    has_slice: bool = False
    is_key: bool = False
    is_damaged: bool = False


class Depacketizer:
    """Assembles access units from packets in order.

    The marker bit ends an access unit. Cameras that set it after each slice are recognised by a slice that continues a
    released image; from then on, an access unit ends with the first packet of the next one, as in FFmpeg. So it does
    in streams without marker bits. Parameter sets before the first slice belong to the image that follows.

    After a gap, the access units around it are damaged, because packets of either may be missing: none is ever
    released with a hole.
    """

    def __init__(self, payload_format: PayloadFormat) -> None:
        self._format = payload_format
        self._assembly: _Assembly | None = None
        self._released_stamp: int | None = None
        self.trusts_marker = True
        """False if marker bits occur within images."""

    def add(self, ordered: OrderedPacket) -> Iterator[AccessUnit]:
        """Add a packet; yield the access units that are complete, and those known to be damaged."""
        packet, assembly = ordered.packet, self._assembly
        if assembly is not None and packet.stamp != assembly.stamp:
            if assembly.has_slice or assembly.parts is not None or assembly.is_damaged:
                assembly.is_damaged |= ordered.follows_gap
                yield from self._release()
                assembly = None
            else:
                assembly.stamp = packet.stamp  # parameter sets with a time stamp of their own
        if assembly is None:
            assembly = self._assembly = _Assembly(packet.stamp, ordered.arrived_ns)
        if ordered.follows_gap:
            assembly.is_damaged = True
            assembly.parts = None
        self._read(packet.payload, assembly)
        is_complete = assembly.is_damaged or (assembly.has_slice and assembly.parts is None)
        if packet.has_marker and self.trusts_marker and is_complete:
            self._released_stamp = packet.stamp
            yield from self._release()

    def _read(self, payload: bytes, assembly: _Assembly) -> None:
        """Add the NAL units of a payload. An empty one is legal: some senders pad with it."""
        if not payload or assembly.is_damaged:
            return
        try:
            for fragment in self._format.fragments(payload):
                self._append(fragment, assembly)
        except PayloadError:
            assembly.is_damaged = True
        assembly.size += len(payload)
        if assembly.size > LARGEST_BYTES:
            assembly.is_damaged = True
        if assembly.is_damaged:
            assembly.units.clear()
            assembly.parts = None

    def _append(self, fragment: Fragment, assembly: _Assembly) -> None:
        if fragment.begins == (assembly.parts is not None):
            assembly.is_damaged = True  # the end of a fragmented unit is missing, or its beginning
            return
        parts = assembly.parts or []
        parts.append(fragment.data)
        assembly.parts = None if fragment.ends else parts
        if fragment.ends:
            self._complete(b"".join(parts), assembly)

    def _complete(self, unit: bytes, assembly: _Assembly) -> None:
        if self._format.is_slice(unit):
            if not assembly.has_slice and not self._format.begins_image(unit):
                # The first slice is missing. Without a gap it was released with an earlier marker.
                assembly.is_damaged = True
                if self._released_stamp == assembly.stamp:
                    self.trusts_marker = False
            assembly.has_slice = True
            assembly.is_key |= self._format.is_key(unit)
        assembly.units.append(unit)

    def _release(self) -> Iterator[AccessUnit]:
        assembly, self._assembly = self._assembly, None
        if assembly is None:
            return
        is_damaged = assembly.is_damaged or assembly.parts is not None
        data = b"" if is_damaged else b"".join(START_CODE + unit for unit in assembly.units)
        yield AccessUnit(data, assembly.stamp, assembly.arrived_ns, assembly.is_key and not is_damaged, is_damaged)
