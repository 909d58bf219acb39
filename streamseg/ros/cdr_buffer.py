"""Primitives of CDR: numbers and strings, aligned.

XCDR1 (OMG DDS-XTypes 1.3, 7.4.1), little-endian: four bytes of header; numbers aligned to their size, counted from the
end of the header; a sequence is its length (uint32) and its elements; a string ends with a zero byte that is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

__all__ = ["CdrBuffer"]

HEADER: Final = b"\x00\x01\x00\x00"

_TIME = struct.Struct("<iI")
_UINT = struct.Struct("<I")


class CdrBuffer:
    """A message that is being serialised. Methods append in the order of the calls."""

    def __init__(self) -> None:
        self._body = bytearray()

    def align(self, size: int) -> None:
        """Append zeros up to a multiple of `size` bytes."""
        missing = -len(self._body) % size
        if missing:
            self._body += b"\0" * missing

    def pack(self, kinds: struct.Struct, alignment: int, *values: float) -> None:
        """Append numbers, the first of which is aligned to `alignment` bytes; `kinds` contains any further padding."""
        self.align(alignment)
        self._body += kinds.pack(*values)

    def uint(self, value: int) -> None:
        """Append a uint32, such as the length of a sequence."""
        self.align(4)
        self._body += _UINT.pack(value)

    def raw(self, data: bytes, alignment: int) -> None:
        """Append serialised values, aligned."""
        self.align(alignment)
        self._body += data

    def doubles(self, values: np.ndarray[Any, Any]) -> None:
        """Append float64 values of any shape, in C order; nothing, not even padding, if there are none."""
        if values.size:
            self.raw(np.ascontiguousarray(values, dtype="<f8").tobytes(), 8)

    def text(self, text: str) -> None:
        """Append a string."""
        data = text.encode() + b"\0"
        self.uint(len(data))
        self._body += data

    def time(self, stamp: Mapping[str, int]) -> None:
        """Append a builtin_interfaces/Time."""
        self.pack(_TIME, 4, stamp["sec"], stamp["nanosec"])

    def header(self, header: Mapping[str, Any]) -> None:
        """Append a std_msgs/Header."""
        self.time(header["stamp"])
        self.text(header["frame_id"])

    def finish(self, last: bytes | memoryview = b"") -> bytes:
        """Return the message.

        Args:
            last: bytes at its end, unaligned; copied once, because an image is large.
        """
        return b"".join((HEADER, self._body, last))
