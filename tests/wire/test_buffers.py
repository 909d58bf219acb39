"""Arrays as parts: shapes, dtypes and compressed streams are validated before memory is allocated."""

import struct
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import WireError
from streamseg.wire.buffers import BufferEntry, pack_buffer, pack_single, parse_entry, read_array, unpack_single

ENTRY = BufferEntry("masks", "raw", "<u4", (3,), "none")
BODY = np.array([1, 2, 3], dtype="<u4").tobytes()


@pytest.mark.parametrize("compression", ["none", "zlib"])
@pytest.mark.parametrize("array", [np.zeros((0, 4), "<u4"), np.arange(6, dtype=">u2").reshape(2, 3), np.ones(5, "u1")])
def test_arrays_round_trip(array, compression):
    buffer = pack_buffer("masks", "raw", array, compression)
    assert parse_entry(buffer.entry.to_json()) == buffer.entry
    read = read_array(buffer.entry, buffer.body, buffer.entry.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_array_is_read_only():
    assert not read_array(ENTRY, BODY, "<u4", (3,)).flags.writeable


@pytest.mark.parametrize(
    ("entry", "body", "error"),
    [
        pytest.param(ENTRY, BODY[:-1], "11 bytes, its shape needs 12", id="too short"),
        pytest.param(ENTRY, BODY + b"x", "13 bytes, its shape needs 12", id="too long"),
        pytest.param(replace(ENTRY, dtype="<f4"), BODY, "dtype", id="different dtype"),
        pytest.param(replace(ENTRY, dtype=">u4"), BODY, "dtype", id="different byte order"),
        pytest.param(replace(ENTRY, dtype="O"), BODY, "dtype", id="objects"),
        pytest.param(replace(ENTRY, shape=(1, 3)), BODY, "shape", id="different number of dimensions"),
        pytest.param(replace(ENTRY, compression="lz4"), BODY, "unknown compression", id="unknown compression"),
        pytest.param(replace(ENTRY, shape=(1 << 27,)), BODY, "at most", id="larger than allowed"),
        pytest.param(replace(ENTRY, compression="zlib"), BODY, "not a zlib stream", id="not a zlib stream"),
        pytest.param(replace(ENTRY, compression="zlib"), zlib.compress(BODY)[:-2], "decompress", id="truncated stream"),
        pytest.param(replace(ENTRY, compression="zlib"), zlib.compress(BODY) + b"x", "decompress", id="trailing bytes"),
        pytest.param(
            replace(ENTRY, compression="zlib"),
            zlib.compress(BODY[:-1]),
            "decompress",
            id="short content",
        ),
        pytest.param(
            replace(ENTRY, compression="zlib"), zlib.compress(bytes(1 << 24)), "decompress", id="decompression bomb"
        ),
        pytest.param(replace(ENTRY, compression="zlib"), b"", "decompress", id="empty stream"),
    ],
)
def test_parts_that_contradict_their_entry_are_rejected(entry, body, error):
    with pytest.raises(WireError, match=error):
        read_array(entry, body, "<u4", (None,))


@pytest.mark.slow
@pytest.mark.parametrize("num_items", [0, 3])
def test_decompression_bomb_is_not_inflated(num_items):
    entry, bomb = replace(ENTRY, shape=(num_items,), compression="zlib"), zlib.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="does not decompress"):
            read_array(entry, bomb, "<u4", (None,))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_unexpected_shape_is_rejected():
    with pytest.raises(WireError, match=r"must have shape \[4\], got \[3\]"):
        read_array(ENTRY, BODY, "<u4", (4,))


@pytest.mark.parametrize(
    "changes",
    [{"shape": [-1]}, {"shape": [1.0]}, {"shape": [True]}, {"shape": 3}, {"shape": [1 << 40]}, {"shape": [1] * 9},
     {"name": None}, {"dtype": 4}, {"encoding": []}, {"compression": None}],
)  # fmt: skip
def test_invalid_entries_are_rejected(changes):
    with pytest.raises(WireError):
        parse_entry({**ENTRY.to_json(), **changes})


TOPICS = st.binary(min_size=1, max_size=128).filter(lambda topic: 0 not in topic)


@given(TOPICS, st.lists(st.binary(max_size=50), max_size=17))
def test_unpack_single_inverts_pack_single(topic, parts):
    packed = pack_single([topic, *parts])
    assert packed.startswith(topic)
    assert unpack_single(packed) == [topic, *parts]
    assert unpack_single(memoryview(packed)) == [topic, *parts]


def test_single_part_layout_is_as_documented():
    assert pack_single([b"t/", b"abc", b"", b"d"]) == b"t/\x00" + struct.pack("<4I", 3, 3, 0, 1) + b"abcd"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00", id="no topic"),
        pytest.param(b"t" * 200, id="unterminated topic"),
        pytest.param(b"t\x00\x01\x00", id="truncated number of parts"),
        pytest.param(b"t\x00" + struct.pack("<I", 2**32 - 1), id="four billion parts"),
        pytest.param(b"t\x00" + struct.pack("<II", 2, 1), id="truncated lengths"),
        pytest.param(b"t\x00" + struct.pack("<II", 1, 4) + b"abc", id="truncated part"),
        pytest.param(b"t\x00" + struct.pack("<II", 1, 2) + b"abc", id="trailing bytes"),
        pytest.param(b"t\x00" + struct.pack("<III", 2, 2**32 - 1, 4) + b"abc", id="lengths that overflow"),
    ],
)
def test_single_parts_with_contradictory_lengths_are_rejected(body):
    with pytest.raises(WireError):
        unpack_single(body)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_unpack_single_raises_only_wire_errors(body):
    try:
        parts = unpack_single(body)
    except WireError:
        return
    assert pack_single(parts) == body


@pytest.mark.parametrize("parts", [[], [b""], [b"a\x00b"], [b"t" * 129], [b"t"] * 19])
def test_parts_that_cannot_be_packed_are_rejected(parts):
    with pytest.raises(WireError):
        pack_single(parts)
