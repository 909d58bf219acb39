"""Several parts as one, for CONFLATE."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import WireError
from streamseg.wire import pack_single, unpack_single

TOPICS = st.binary(min_size=1, max_size=128).filter(lambda topic: 0 not in topic)


@given(TOPICS, st.lists(st.binary(max_size=50), max_size=17))
def test_unpack_undoes_pack(topic, parts):
    packed = pack_single([topic, *parts])
    assert packed.startswith(topic)
    assert unpack_single(packed) == [topic, *parts]
    assert unpack_single(memoryview(packed)) == [topic, *parts]


def test_the_layout_is_as_documented():
    assert pack_single([b"t/", b"abc", b"", b"d"]) == b"t/\x00" + struct.pack("<4I", 3, 3, 0, 1) + b"abcd"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00", id="no topic"),
        pytest.param(b"t" * 200, id="a topic without end"),
        pytest.param(b"t\x00\x01\x00", id="ends in the number of parts"),
        pytest.param(b"t\x00" + struct.pack("<I", 2**32 - 1), id="four billion parts"),
        pytest.param(b"t\x00" + struct.pack("<II", 2, 1), id="ends in the lengths"),
        pytest.param(b"t\x00" + struct.pack("<II", 1, 4) + b"abc", id="ends in a part"),
        pytest.param(b"t\x00" + struct.pack("<II", 1, 2) + b"abc", id="bytes left over"),
        pytest.param(b"t\x00" + struct.pack("<III", 2, 2**32 - 1, 4) + b"abc", id="lengths that wrap around"),
    ],
)
def test_bodies_that_contradict_themselves_are_refused(body):
    with pytest.raises(WireError):
        unpack_single(body)


@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_noise_raises_nothing_else(body):
    try:
        parts = unpack_single(body)
    except WireError:
        return
    assert pack_single(parts) == body


@pytest.mark.parametrize("parts", [[], [b""], [b"a\x00b"], [b"t" * 129], [b"t"] * 19])
def test_parts_that_cannot_be_packed_are_refused(parts):
    with pytest.raises(WireError):
        pack_single(parts)
