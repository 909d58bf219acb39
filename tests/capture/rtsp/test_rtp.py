"""RTP packets: parsing, order and gaps."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.rtsp.rtp import PacketOrder, RtpPacket, parse_rtp
from tests.support.rtp_packets import SSRC, rtp

MS = 1_000_000


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        pytest.param(rtp(b"abc"), b"abc", id="plain"),
        pytest.param(rtp(b""), b"", id="empty payload"),
        pytest.param(rtp(b"abc", padding=5), b"abc", id="padding"),
        pytest.param(rtp(b"", padding=1), b"", id="padding only"),
        pytest.param(rtp(b"abc", csrcs=15), b"abc", id="contributing sources"),
        pytest.param(rtp(b"abc", extension=b""), b"abc", id="empty extension"),
        pytest.param(rtp(b"abc", csrcs=2, extension=b"12345678", padding=3), b"abc", id="everything"),
    ],
)
def test_payload(data, payload):
    packet = parse_rtp(data)
    assert packet is not None
    assert packet.payload == payload
    assert packet.ssrc == SSRC


def test_fields():
    packet = parse_rtp(rtp(b"x", sequence=65535, stamp=2**32 - 1, marker=True, payload_type=127))
    assert packet == RtpPacket(127, True, 65535, 2**32 - 1, SSRC, b"x")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(rtp(b"")[:11], id="truncated header"),
        pytest.param(b"\x40" + rtp(b"abc")[1:], id="version 1"),
        pytest.param(b"\x8f" + rtp(b"abc")[1:], id="truncated contributing sources"),
        pytest.param(b"\x90" + rtp(b"abc")[1:], id="truncated extension header"),
        pytest.param(rtp(b"", extension=b"1234")[:-1], id="truncated extension"),
        pytest.param(rtp(b"ab\x00")[:1].replace(b"\x80", b"\xa0") + rtp(b"ab\x00")[1:], id="padding of 0 bytes"),
        pytest.param(b"\xa0" + rtp(b"ab\x04")[1:], id="padding longer than the payload"),
    ],
)
def test_invalid(data):
    assert parse_rtp(data) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_parsed_or_rejected(data):
    packet = parse_rtp(data)
    assert packet is None or packet.payload in data


def played(order, arrivals, *, ssrc=SSRC):
    """Return (sequence, follows_gap) of the packets in the order of their release; one arrives per millisecond."""
    found = []
    for time_ms, sequence in enumerate(arrivals):
        packet = RtpPacket(96, False, sequence % 65536, 0, ssrc, b"")
        found += [(one.packet.sequence, one.follows_gap) for one in order.add(packet, time_ms * MS)]
    return found


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param([5, 6, 7], [(5, False), (6, False), (7, False)], id="in order"),
        pytest.param([65534, 65535, 0, 1], [(65534, False), (65535, False), (0, False), (1, False)], id="wrap"),
        pytest.param([5, 7], [(5, False), (7, True)], id="one lost"),
        pytest.param([65535, 1], [(65535, False), (1, True)], id="lost at the wrap"),
        pytest.param([5, 6, 6, 5, 7], [(5, False), (6, False), (7, False)], id="duplicates"),
        pytest.param([500, 20, 501], [(500, False), (501, False)], id="one packet of long ago"),
        pytest.param([500, 20, 21, 22], [(500, False), (21, True), (22, False)], id="restarted numbers"),
    ],
)
def test_reliable_transport(arrivals, expected):
    assert played(PacketOrder(), arrivals) == expected


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param([1, 3, 2, 4], [(1, False), (2, False), (3, False), (4, False)], id="overtaken"),
        pytest.param([65535, 1, 0], [(65535, False), (0, False), (1, False)], id="overtaken at the wrap"),
        pytest.param([1, 3, 4, 5, 6, 2], [(1, False), (3, True), (4, False), (5, False), (6, False)], id="too late"),
        pytest.param([1, 4, 3, 6, 7, 2], [(1, False), (3, True), (4, False), (6, True), (7, False)], id="two gaps"),
    ],
)
def test_transport_that_reorders(arrivals, expected):
    order = PacketOrder(depth=3, longest_ns=1000 * MS)
    found = played(order, arrivals)
    found += [(one.packet.sequence, one.follows_gap) for one in order.flush(2000 * MS)]
    assert found == expected


def test_missing_packet_is_given_up_in_time():
    order = PacketOrder(depth=100, longest_ns=30 * MS)
    assert order.due_ns is None
    assert played(order, [1, 3]) == [(1, False)]
    assert order.due_ns == 31 * MS
    assert list(order.flush(31 * MS - 1)) == []
    assert [one.follows_gap for one in order.flush(31 * MS)] == [True]
    assert order.num_lost == 1


def test_new_sender_is_a_gap():
    order = PacketOrder()
    played(order, [1, 2])
    assert played(order, [900, 901], ssrc=8) == [(900, True), (901, False)]


@given(
    first=st.integers(0, 65535),
    shuffled=st.permutations(range(30)),
    lost=st.sets(st.integers(1, 29)),
    depth=st.integers(0, 40),
)
def test_order_and_gaps(first, shuffled, lost, depth):
    """Whatever arrives in whatever order: numbers increase, and each jump is reported."""
    order = PacketOrder(depth=depth, longest_ns=10**12)
    arrivals = [first] + [first + number for number in shuffled if number not in lost and number]
    found = played(order, arrivals)
    found += [(one.packet.sequence, one.follows_gap) for one in order.flush(2 * 10**12)]
    numbers = [(sequence - first) % 65536 for sequence, _ in found]
    assert numbers == sorted(set(numbers))
    assert [gap for _, gap in found] == [False] + [b - a > 1 for a, b in pairwise(numbers)]
    if depth >= 30:
        assert numbers == sorted({0} | set(range(30)) - lost), "none is lost that arrived"
