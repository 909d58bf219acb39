"""NAL units in RTP payloads: single units, aggregates and fragments of H.264 (RFC 6184) and H.265 (RFC 7798).

Pure. Only the non-interleaved modes are supported: cameras offer no other, and the session description says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

__all__ = ["FORMATS", "Codec", "Fragment", "PayloadError", "PayloadFormat"]

Codec = Literal["h264", "hevc"]
"""Names of codecs in FFmpeg."""


class PayloadError(ValueError):
    """A payload that is truncated or of an unsupported kind."""


@dataclass(frozen=True)
class Fragment:
    """One NAL unit, or a part of one."""

    data: bytes
    """Bytes of the unit; the first fragment begins with the unit's header."""
    begins: bool = True
    ends: bool = True


class PayloadFormat(Protocol):
    """How the payloads of a codec are read."""

    def fragments(self, payload: bytes) -> Iterator[Fragment]:
        """Yield the NAL units and fragments of a payload, which is not empty.

        Raises:
            PayloadError: the payload is truncated or unsupported.
        """
        ...

    def is_slice(self, unit: bytes) -> bool:
        """Return whether a NAL unit contains image data."""
        ...

    def begins_image(self, unit: bytes) -> bool:
        """Return whether a slice is the first one of its image."""
        ...

    def is_key(self, unit: bytes) -> bool:
        """Return whether a slice belongs to an image at which decoding can start."""
        ...


def _check_size(payload: bytes, minimum: int) -> None:
    if len(payload) < minimum:
        raise PayloadError(f"{len(payload)} bytes are too few, at least {minimum} are needed")


def _aggregated(payload: bytes, begin: int, header_size: int) -> Iterator[Fragment]:
    """Yield the units of an aggregate, each after its size in 2 bytes."""
    _check_size(payload, begin + 2 + header_size)
    while begin < len(payload):
        size = int.from_bytes(payload[begin : begin + 2], "big")
        begin += 2
        unit = payload[begin : begin + size]
        if size < header_size or len(unit) < size:
            raise PayloadError(f"a unit of {size} bytes in an aggregate with {len(payload) - begin} bytes left")
        yield Fragment(unit)
        begin += size


class H264Format:
    """Payloads of H.264 (RFC 6184, section 5.2), packetisation modes 0 and 1."""

    AGGREGATE: Final = 24
    FRAGMENT: Final = 28
    INSTANT_REFRESH: Final = 5

    def fragments(self, payload: bytes) -> Iterator[Fragment]:
        """Yield the NAL units and fragments of a payload; see `PayloadFormat`."""
        kind = payload[0] & 0x1F
        if payload[0] & 0x80:
            raise PayloadError("the forbidden bit is set")
        if 1 <= kind < self.AGGREGATE:
            yield Fragment(payload)
        elif kind == self.AGGREGATE:
            yield from _aggregated(payload, 1, 1)
        elif kind == self.FRAGMENT:
            _check_size(payload, 2)
            flags = payload[1]
            begins = bool(flags & 0x80)
            header = bytes([payload[0] & 0xE0 | flags & 0x1F]) if begins else b""
            yield Fragment(header + payload[2:], begins, bool(flags & 0x40))
        else:
            raise PayloadError(f"payloads of type {kind} are not supported")

    def is_slice(self, unit: bytes) -> bool:
        """Return whether a NAL unit contains image data."""
        return 1 <= unit[0] & 0x1F <= self.INSTANT_REFRESH

    def begins_image(self, unit: bytes) -> bool:
        """Return whether first_mb_in_slice, an Exp-Golomb number, is 0."""
        return len(unit) > 1 and bool(unit[1] & 0x80)

    def is_key(self, unit: bytes) -> bool:
        """Return whether a slice is one of an IDR picture."""
        return unit[0] & 0x1F == self.INSTANT_REFRESH


class H265Format:
    """Payloads of H.265 (RFC 7798, section 4.4) without decoding order numbers (sprop-max-don-diff = 0)."""

    AGGREGATE: Final = 48
    FRAGMENT: Final = 49
    FIRST_NON_SLICE: Final = 32
    RANDOM_ACCESS: Final = range(16, 22)
    """IDR, BLA and CRA pictures. Leading pictures of a CRA are skipped by the decoder, which starts afresh there."""

    def fragments(self, payload: bytes) -> Iterator[Fragment]:
        """Yield the NAL units and fragments of a payload; see `PayloadFormat`."""
        _check_size(payload, 2)
        kind = self._kind(payload)
        if payload[0] & 0x80:
            raise PayloadError("the forbidden bit is set")
        if kind < self.AGGREGATE:
            yield Fragment(payload)
        elif kind == self.AGGREGATE:
            yield from _aggregated(payload, 2, 2)
        elif kind == self.FRAGMENT:
            _check_size(payload, 3)
            flags = payload[2]
            begins = bool(flags & 0x80)
            header = bytes([payload[0] & 0x81 | (flags & 0x3F) << 1, payload[1]]) if begins else b""
            yield Fragment(header + payload[3:], begins, bool(flags & 0x40))
        else:
            raise PayloadError(f"payloads of type {kind} are not supported")

    def is_slice(self, unit: bytes) -> bool:
        """Return whether a NAL unit contains image data."""
        return self._kind(unit) < self.FIRST_NON_SLICE

    def begins_image(self, unit: bytes) -> bool:
        """Return first_slice_segment_in_pic_flag."""
        return len(unit) > 2 and bool(unit[2] & 0x80)

    def is_key(self, unit: bytes) -> bool:
        """Return whether a slice is one of a random access picture."""
        return self._kind(unit) in self.RANDOM_ACCESS

    @staticmethod
    def _kind(unit: bytes) -> int:
        return unit[0] >> 1 & 0x3F


FORMATS: Final[dict[Codec, PayloadFormat]] = {"h264": H264Format(), "hevc": H265Format()}
"""Payload format of each codec."""
