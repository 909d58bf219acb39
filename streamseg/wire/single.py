r"""A multipart message in one part, for readers that use CONFLATE, which keeps only the last part of several.

topic                  so that subscriptions match; ends before the first zero byte
\x00
u32 n                  number of parts after the topic, little-endian like all of the following
u32 length_1 … length_n
part_1 … part_n        without gaps
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from streamseg.errors import WireError
from streamseg.wire.limits import MAX_BUFFERS

__all__ = ["pack_single", "unpack_single"]

MAX_PARTS = MAX_BUFFERS + 1
MAX_TOPIC_BYTES = 128


def pack_single(parts: Sequence[bytes | memoryview]) -> bytes:
    """Topic, header and buffers as one part; raises WireError where there is no topic or too much else."""
    if not parts or len(parts) > MAX_PARTS + 1 or not 0 < len(parts[0]) <= MAX_TOPIC_BYTES or 0 in bytes(parts[0]):
        raise WireError(f"a topic without zero bytes and at most {MAX_PARTS} parts are needed, got {len(parts)} parts")
    topic, *others = parts
    lengths = struct.pack(f"<{1 + len(others)}I", len(others), *map(len, others))
    return b"".join([topic, b"\x00", lengths, *others])


def unpack_single(body: bytes | memoryview) -> list[memoryview]:
    """The parts of `pack_single`, as views of `body`.

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
        raise WireError(f"the single-part message says that it has {num_parts} parts, at most {MAX_PARTS} are allowed")
    lengths = struct.unpack_from(f"<{num_parts}I", view, start)
    start += 4 * num_parts
    if len(view) - start != sum(lengths):
        raise WireError(f"the parts have {sum(lengths)} bytes together, {len(view) - start} came")
    parts = [view[:topic_length]]
    for length in lengths:
        parts.append(view[start : start + length])
        start += length
    return parts
