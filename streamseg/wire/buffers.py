r"""Binary parts: arrays with a name, a shape and a compression, and the single-part form of a message.

Single-part form, for readers that use CONFLATE, which keeps only the last part of several
    topic                  so that subscriptions match; ends before the first zero byte
    \x00
    u32 n                  number of parts after the topic; all integers are little-endian
    u32 length_1 … length_n
    part_1 … part_n        without gaps
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from streamseg.errors import WireError
from streamseg.wire import json_fields
from streamseg.wire.json_fields import MAX_BUFFER_BYTES, MAX_BUFFERS

__all__ = [
    "Buffer",
    "BufferEntry",
    "Compression",
    "Part",
    "pack_buffer",
    "pack_single",
    "parse_entry",
    "read_array",
    "unpack_single",
]

Part = bytes | memoryview

Compression = Literal["none", "zlib"]
COMPRESSIONS: Final = get_args(Compression)

ITEM_SIZES: Final = {"|u1": 1, "<u2": 2, "<u4": 4}
"""Item size in bytes by dtype of version 1 (NumPy notation, little-endian)."""

ZLIB_LEVEL: Final = 1
"""Fastest level; on run lengths, level 6 is 12 % smaller and takes seven times as long."""

MAX_PARTS: Final = MAX_BUFFERS + 1
MAX_TOPIC_BYTES: Final = 128


@dataclass(frozen=True)
class BufferEntry:
    """One row of the header's buffer table."""

    name: str
    encoding: str
    """Meaning of the array: a mask encoding, `raw` or `jpeg`."""
    dtype: str
    """Key of `ITEM_SIZES`. Checked when the buffer is read, so that unknown buffers may use other dtypes."""
    shape: tuple[int, ...]
    compression: str

    @property
    def num_bytes(self) -> int:
        """Uncompressed size."""
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as written in the header."""
        return {
            "name": self.name,
            "encoding": self.encoding,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "compression": self.compression,
        }


@dataclass(frozen=True)
class Buffer:
    """A part ready to be sent, with its table entry."""

    entry: BufferEntry
    body: bytes


def parse_entry(values: Any) -> BufferEntry:
    """Parse one row of the buffer table; raise WireError if it is invalid."""
    if not isinstance(values, Mapping):
        raise WireError(f"each of 'buffers' must be a JSON object, got {type(values).__name__}")
    shape = json_fields.items(values, "shape", max_items=8)
    if any(type(side) is not int or not 0 <= side <= MAX_BUFFER_BYTES for side in shape):
        raise WireError(f"'shape' must be a list of sizes from 0 to {MAX_BUFFER_BYTES}, got {str(shape)[:60]}")
    return BufferEntry(
        name=json_fields.text(values, "name"),
        encoding=json_fields.text(values, "encoding"),
        dtype=json_fields.text(values, "dtype"),
        shape=tuple(shape),
        compression=json_fields.text(values, "compression"),
    )


def pack_buffer(name: str, encoding: str, array: npt.NDArray[Any], compression: Compression = "none") -> Buffer:
    """Serialise an array to a part; raise WireError if the compression is unknown."""
    if compression not in COMPRESSIONS:
        raise WireError(f"unknown compression {compression!r}; use one of {', '.join(COMPRESSIONS)}")
    little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    body = little_endian.tobytes()
    if compression == "zlib":
        body = zlib.compress(body, ZLIB_LEVEL)
    return Buffer(BufferEntry(name, encoding, little_endian.dtype.str, little_endian.shape, compression), body)


def read_array(entry: BufferEntry, body: Part, dtype: str, shape: tuple[int | None, ...]) -> Any:
    """Return the array in a part, read-only.

    Args:
        entry: row of the buffer table.
        body: the part.
        dtype: expected dtype, a key of `ITEM_SIZES`.
        shape: expected shape; None accepts any size.

    Raises:
        WireError: the entry differs from the expected dtype or shape, or the part does not match its entry.
    """
    if entry.dtype != dtype:
        raise WireError(f"buffer {entry.name!r} must have dtype {dtype!r}, got {entry.dtype[:20]!r}")
    if len(entry.shape) != len(shape) or any(
        expected is not None and side != expected for side, expected in zip(entry.shape, shape, strict=True)
    ):
        expected_shape = ["any" if side is None else side for side in shape]
        raise WireError(f"buffer {entry.name!r} must have shape {expected_shape}, got {list(entry.shape)}")
    if entry.num_bytes > MAX_BUFFER_BYTES:
        raise WireError(f"buffer {entry.name!r} has {entry.num_bytes} bytes, at most {MAX_BUFFER_BYTES} are allowed")
    if entry.compression == "zlib":
        body = _inflate(entry, body)
    elif entry.compression != "none":
        raise WireError(f"buffer {entry.name!r} has unknown compression {entry.compression[:20]!r}")
    if len(body) != entry.num_bytes:
        raise WireError(f"buffer {entry.name!r} has {len(body)} bytes, its shape needs {entry.num_bytes}")
    return np.frombuffer(body, dtype=dtype).reshape(entry.shape)


def _inflate(entry: BufferEntry, body: Part) -> bytes:
    """Decompress at most the bytes that the shape needs, regardless of the size of the stream."""
    decompressor = zlib.decompressobj()
    try:
        inflated = decompressor.decompress(body, entry.num_bytes + 1)
    except zlib.error as error:
        raise WireError(f"buffer {entry.name!r} is not a zlib stream: {error}") from error
    if len(inflated) != entry.num_bytes or not decompressor.eof or decompressor.unused_data:
        raise WireError(f"buffer {entry.name!r} does not decompress to the {entry.num_bytes} bytes its shape needs")
    return inflated


def pack_single(parts: Sequence[Part]) -> bytes:
    """Pack topic, header and buffers into one part; raise WireError if the topic is invalid or parts are too many."""
    if not parts or len(parts) > MAX_PARTS + 1 or not 0 < len(parts[0]) <= MAX_TOPIC_BYTES or 0 in bytes(parts[0]):
        raise WireError(
            f"a single-part message needs a topic of at most {MAX_TOPIC_BYTES} bytes without zero bytes and at most"
            f" {MAX_PARTS} further parts, got {len(parts)} parts"
        )
    topic, *others = parts
    lengths = struct.pack(f"<{1 + len(others)}I", len(others), *map(len, others))
    return b"".join([topic, b"\x00", lengths, *others])


def unpack_single(body: Part) -> list[memoryview]:
    """Return the parts packed by `pack_single`, as views of `body`.

    Raises:
        WireError: the lengths contradict the body.
    """
    view = memoryview(body).toreadonly().cast("B")
    topic_length = bytes(view[: MAX_TOPIC_BYTES + 1]).find(b"\x00")
    if topic_length <= 0:
        raise WireError(f"a single-part message starts with a topic of at most {MAX_TOPIC_BYTES} bytes and a zero byte")
    start = topic_length + 1
    if len(view) < start + 4:
        raise WireError("the single-part message ends before its number of parts")
    (num_parts,) = struct.unpack_from("<I", view, start)
    start += 4
    if num_parts > MAX_PARTS or len(view) < start + 4 * num_parts:
        raise WireError(f"the single-part message claims {num_parts} parts, at most {MAX_PARTS} are allowed")
    lengths = struct.unpack_from(f"<{num_parts}I", view, start)
    start += 4 * num_parts
    if len(view) - start != sum(lengths):
        raise WireError(f"the parts have {sum(lengths)} bytes together, got {len(view) - start}")
    parts = [view[:topic_length]]
    for length in lengths:
        parts.append(view[start : start + length])
        start += length
    return parts
