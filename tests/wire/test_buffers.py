"""Arrays as parts: shapes, dtypes and compressed streams are checked before memory is spent."""

import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest

from streamseg.errors import WireError
from streamseg.wire.buffers import BufferEntry, pack_buffer, parse_entry, read_array

ENTRY = BufferEntry("masks", "raw", "<u4", (3,), "none")
BODY = np.array([1, 2, 3], dtype="<u4").tobytes()


@pytest.mark.parametrize("compression", ["none", "zlib"])
@pytest.mark.parametrize("array", [np.zeros((0, 4), "<u4"), np.arange(6, dtype=">u2").reshape(2, 3), np.ones(5, "u1")])
def test_arrays_are_read_as_written(array, compression):
    buffer = pack_buffer("masks", "raw", array, compression)
    assert parse_entry(buffer.entry.to_json()) == buffer.entry
    read = read_array(buffer.entry, buffer.body, buffer.entry.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_an_array_is_read_only():
    assert not read_array(ENTRY, BODY, "<u4", (3,)).flags.writeable


@pytest.mark.parametrize(
    ("entry", "body", "complaint"),
    [
        pytest.param(ENTRY, BODY[:-1], "11 bytes, its shape needs 12", id="too short"),
        pytest.param(ENTRY, BODY + b"x", "13 bytes, its shape needs 12", id="too long"),
        pytest.param(replace(ENTRY, dtype="<f4"), BODY, "dtype", id="another dtype"),
        pytest.param(replace(ENTRY, dtype=">u4"), BODY, "dtype", id="another byte order"),
        pytest.param(replace(ENTRY, dtype="O"), BODY, "dtype", id="objects"),
        pytest.param(replace(ENTRY, shape=(1, 3)), BODY, "shape", id="another number of dimensions"),
        pytest.param(replace(ENTRY, compression="lz4"), BODY, "unknown compression", id="another compression"),
        pytest.param(replace(ENTRY, shape=(1 << 27,)), BODY, "at most", id="larger than allowed"),
        pytest.param(replace(ENTRY, compression="zlib"), BODY, "not a zlib stream", id="no zlib stream"),
        pytest.param(replace(ENTRY, compression="zlib"), zlib.compress(BODY)[:-2], "decompress", id="cut stream"),
        pytest.param(replace(ENTRY, compression="zlib"), zlib.compress(BODY) + b"x", "decompress", id="bytes after it"),
        pytest.param(replace(ENTRY, compression="zlib"), zlib.compress(BODY[:-1]), "decompress", id="too short inside"),
        pytest.param(replace(ENTRY, compression="zlib"), zlib.compress(bytes(1 << 24)), "decompress", id="a bomb"),
        pytest.param(replace(ENTRY, compression="zlib"), b"", "decompress", id="an empty stream"),
    ],
)
def test_parts_that_are_not_what_the_table_says_are_refused(entry, body, complaint):
    with pytest.raises(WireError, match=complaint):
        read_array(entry, body, "<u4", (None,))


@pytest.mark.parametrize("num_items", [0, 3])
def test_a_bomb_is_not_inflated(num_items):
    entry, bomb = replace(ENTRY, shape=(num_items,), compression="zlib"), zlib.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="does not decompress"):
            read_array(entry, bomb, "<u4", (None,))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_shape_that_was_not_expected_is_refused():
    with pytest.raises(WireError, match=r"must have shape \[4\], got \[3\]"):
        read_array(ENTRY, BODY, "<u4", (4,))


@pytest.mark.parametrize(
    "changes",
    [{"shape": [-1]}, {"shape": [1.0]}, {"shape": [True]}, {"shape": 3}, {"shape": [1 << 40]}, {"shape": [1] * 9},
     {"name": None}, {"dtype": 4}, {"encoding": []}, {"compression": None}],
)  # fmt: skip
def test_rows_of_the_table_that_are_none_are_refused(changes):
    with pytest.raises(WireError):
        parse_entry({**ENTRY.to_json(), **changes})
