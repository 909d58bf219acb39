"""Reader of ROS 2 messages in CDR (XCDR1, little-endian), as far as recordings need it."""

from __future__ import annotations

import struct
from typing import Any, Final

__all__ = ["CdrReader"]

HEADER_BYTES: Final = 4


class CdrReader:
    """Reads the fields of a message in order. Each method raises ValueError if the message is too short or invalid."""

    def __init__(self, data: bytes) -> None:
        if data[:2] != b"\x00\x01":
            raise ValueError("the message is not CDR in little-endian order")
        self._data = memoryview(data)[HEADER_BYTES:]
        self._offset = 0

    def numbers(self, kinds: str) -> tuple[Any, ...]:
        """Read numbers of one size, such as "3d", aligned to it."""
        layout = struct.Struct("<" + kinds)
        size = struct.calcsize("<" + kinds[-1])
        start = self._offset + -self._offset % size
        self._offset = start + layout.size
        if self._offset > len(self._data):
            raise ValueError("the message ends too early")
        return layout.unpack_from(self._data, start)

    def count(self) -> int:
        """Read the length of a sequence; at most the number of bytes left, so that a loop over it ends."""
        (length,) = self.numbers("I")
        if length > len(self._data) - self._offset:
            raise ValueError(f"a sequence of {length} elements exceeds the message")
        return int(length)

    def blob(self) -> memoryview:
        """Read a sequence of bytes."""
        length = self.count()
        start, self._offset = self._offset, self._offset + length
        return self._data[start : self._offset]

    def text(self) -> str:
        """Read a string."""
        return bytes(self.blob()).removesuffix(b"\0").decode()

    def header(self) -> tuple[int, str]:
        """Read a std_msgs/Header: time in ns, and frame_id."""
        (seconds,) = self.numbers("i")
        (nanoseconds,) = self.numbers("I")
        return seconds * 10**9 + nanoseconds, self.text()
