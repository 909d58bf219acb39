"""RTP packets for tests: NAL units packed as single units, aggregates and fragments."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SSRC = 7


def rtp(payload, *, sequence=0, stamp=0, marker=False, ssrc=SSRC, payload_type=96, padding=0, csrcs=0, extension=None):
    """Return the bytes of an RTP packet."""
    flags = 0x80 | (0x20 if padding else 0) | (0x10 if extension is not None else 0) | csrcs
    data = struct.pack(">BBHII", flags, payload_type | marker << 7, sequence % 65536, stamp % 2**32, ssrc)
    data += b"\x11\x22\x33\x44" * csrcs
    if extension is not None:
        data += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    data += payload
    if padding:
        data += bytes(padding - 1) + bytes([padding])
    return data


def fragments(unit: bytes, size: int, codec: str) -> list[bytes]:
    """Split a NAL unit into payloads of at most `size` bytes of it; one that fits is a single payload."""
    header = 1 if codec == "h264" else 2
    if len(unit) <= size + header:
        return [unit]
    body = unit[header:]
    parts = [body[begin : begin + size] for begin in range(0, len(body), size)]
    payloads = []
    for place, part in enumerate(parts):
        flags = (0x80 if place == 0 else 0) | (0x40 if place == len(parts) - 1 else 0)
        if codec == "h264":
            head = bytes([unit[0] & 0xE0 | 28, flags | unit[0] & 0x1F])
        else:
            head = bytes([unit[0] & 0x81 | 49 << 1, unit[1], flags | unit[0] >> 1 & 0x3F])
        payloads.append(head + part)
    return payloads


def aggregate(units: Sequence[bytes], codec: str) -> bytes:
    """Return one payload with several NAL units."""
    head = bytes([24]) if codec == "h264" else bytes([48 << 1, 1])
    return head + b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def payloads(units: Sequence[bytes], codec: str, *, size: int = 1400, num_aggregated: int = 0) -> list[bytes]:
    """Return the payloads of an access unit, the first `num_aggregated` units in one."""
    packed = [aggregate(units[:num_aggregated], codec)] if num_aggregated else []
    return packed + [part for unit in units[num_aggregated:] for part in fragments(unit, size, codec)]
