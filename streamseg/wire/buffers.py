"""The binary parts after the header: arrays with a name, a shape and a compression."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from streamseg.errors import WireError
from streamseg.wire import fields
from streamseg.wire.limits import MAX_BUFFER_BYTES

__all__ = ["Buffer", "BufferEntry", "Compression", "pack_buffer", "parse_entry", "read_array"]

Compression = Literal["none", "zlib"]
COMPRESSIONS: Final = get_args(Compression)

ITEM_SIZES: Final = {"|u1": 1, "<u2": 2, "<u4": 4}
"""The dtypes of version 1 (numpy's notation, little-endian) and their bytes."""

ZLIB_LEVEL: Final = 1
"""Fastest; on run lengths, level 6 is 12 % smaller and takes seven times as long."""


@dataclass(frozen=True)
class BufferEntry:
    """One row of the header's table of buffers."""

    name: str
    encoding: str
    """What the array means: a mask encoding, `raw` or `jpeg`."""
    dtype: str
    """A key of `ITEM_SIZES`; checked when the buffer is read, so that unknown buffers may use others."""
    shape: tuple[int, ...]
    compression: str

    @property
    def num_bytes(self) -> int:
        """Size without compression."""
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]

    def to_json(self) -> dict[str, Any]:
        """The entry as it stands in the header."""
        return {
            "name": self.name,
            "encoding": self.encoding,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "compression": self.compression,
        }


@dataclass(frozen=True)
class Buffer:
    """A part that is ready to be sent, and its entry."""

    entry: BufferEntry
    body: bytes


def parse_entry(values: Any) -> BufferEntry:
    """One row of the table; raises WireError."""
    if not isinstance(values, Mapping):
        raise WireError(f"each of 'buffers' must be a JSON object, got {type(values).__name__}")
    shape = fields.items(values, "shape", max_items=8)
    if any(type(side) is not int or not 0 <= side <= MAX_BUFFER_BYTES for side in shape):
        raise WireError(f"'shape' must be a list of sizes from 0 to {MAX_BUFFER_BYTES}, got {str(shape)[:60]}")
    return BufferEntry(
        name=fields.text(values, "name"),
        encoding=fields.text(values, "encoding"),
        dtype=fields.text(values, "dtype"),
        shape=tuple(shape),
        compression=fields.text(values, "compression"),
    )


def pack_buffer(name: str, encoding: str, array: npt.NDArray[Any], compression: Compression = "none") -> Buffer:
    """An array as a part; raises WireError for an unknown compression."""
    if compression not in COMPRESSIONS:
        raise WireError(f"unknown compression {compression!r}; {', '.join(COMPRESSIONS)} are known")
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    body = little.tobytes()
    if compression == "zlib":
        body = zlib.compress(body, ZLIB_LEVEL)
    return Buffer(BufferEntry(name, encoding, little.dtype.str, little.shape, compression), body)


def read_array(entry: BufferEntry, body: bytes | memoryview, dtype: str, shape: tuple[int | None, ...]) -> Any:
    """The array in a part, read-only.

    Args:
        entry: its row in the table.
        body: the part.
        dtype: what is expected, a key of `ITEM_SIZES`.
        shape: what is expected; None allows any size.

    Raises:
        WireError: the table says something else, or the part does not hold what the table says.
    """
    if entry.dtype != dtype:
        raise WireError(f"buffer {entry.name!r} must have dtype {dtype!r}, got {entry.dtype[:20]!r}")
    if len(entry.shape) != len(shape) or any(
        wanted is not None and side != wanted for side, wanted in zip(entry.shape, shape, strict=True)
    ):
        wanted_shape = ["any" if side is None else side for side in shape]
        raise WireError(f"buffer {entry.name!r} must have shape {wanted_shape}, got {list(entry.shape)}")
    if entry.num_bytes > MAX_BUFFER_BYTES:
        raise WireError(f"buffer {entry.name!r} has {entry.num_bytes} bytes, at most {MAX_BUFFER_BYTES} are allowed")
    if entry.compression == "zlib":
        body = _inflate(entry, body)
    elif entry.compression != "none":
        raise WireError(f"buffer {entry.name!r}: unknown compression {entry.compression[:20]!r}")
    if len(body) != entry.num_bytes:
        raise WireError(f"buffer {entry.name!r} has {len(body)} bytes, its shape needs {entry.num_bytes}")
    return np.frombuffer(body, dtype=dtype).reshape(entry.shape)


def _inflate(entry: BufferEntry, body: bytes | memoryview) -> bytes:
    """Decompress at most what the shape needs, whatever the stream would become."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(body, entry.num_bytes + 1)
    except zlib.error as error:
        raise WireError(f"buffer {entry.name!r} is not a zlib stream: {error}") from error
    if len(inflated) != entry.num_bytes or not inflater.eof or inflater.unused_data:
        raise WireError(f"buffer {entry.name!r} does not decompress to the {entry.num_bytes} bytes its shape needs")
    return inflated
