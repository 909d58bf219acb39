"""Access units from RTP packets: no loss ever yields one with a hole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.rtsp.depacketizer import START_CODE, Depacketizer
from streamseg.capture.rtsp.nal_units import FORMATS
from streamseg.capture.rtsp.rtp import PacketOrder, parse_rtp
from tests.support.rtp_packets import aggregate, fragments, payloads, rtp

SPS, PPS, SEI = b"\x67sps", b"\x68pps", b"\x06sei"
KEY, NEXT = b"\x65\x88key", b"\x41\x9anext"
KEY_REST, NEXT_REST = b"\x65\x10rest", b"\x41\x10rest"
VPS_5, SPS_5, KEY_5, NEXT_5, CLEAN_5 = b"\x40\x01v", b"\x42\x01s", b"\x26\x01\xafk", b"\x02\x01\xd0n", b"\x2a\x01\xafc"


def annex_b(*units):
    return b"".join(START_CODE + unit for unit in units)


def received(packets, *, codec="h264", order=None):
    """Return the access units of packets, given as (payload, stamp, marker); None is a lost packet."""
    depacketizer, order = Depacketizer(FORMATS[codec]), order or PacketOrder()
    found = []
    for sequence, sent in enumerate(packets, start=65530):
        if sent is None:
            continue
        payload, stamp, marker = sent
        packet = parse_rtp(rtp(payload, sequence=sequence, stamp=stamp, marker=marker))
        for ordered in order.add(packet, sequence - 65530):
            found += depacketizer.add(ordered)
    return found, depacketizer


def summary(units):
    return [(unit.data, unit.is_key, unit.is_damaged) for unit in units]


LOST = (b"", False, True)


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        pytest.param([(KEY, 1, True)], [(annex_b(KEY), True, False)], id="single unit"),
        pytest.param([(NEXT, 1, True)], [(annex_b(NEXT), False, False)], id="no keyframe"),
        pytest.param([(NEXT, 1, False)], [], id="not complete"),
        pytest.param(
            [(aggregate([SPS, PPS], "h264"), 1, False), (KEY, 1, True)],
            [(annex_b(SPS, PPS, KEY), True, False)],
            id="aggregate",
        ),
        pytest.param(
            [(SPS, 1, True), (PPS, 1, True), (KEY, 1, True)],
            [(annex_b(SPS, PPS, KEY), True, False)],
            id="early markers",
        ),
        pytest.param([(SPS, 1, True), (KEY, 2, True)], [(annex_b(SPS, KEY), True, False)], id="stamp of its own"),
        pytest.param(
            [(NEXT, 1, False), (NEXT, 2, False), (NEXT, 3, False)],
            [(annex_b(NEXT), False, False)] * 2,
            id="without markers",
        ),
        pytest.param(
            [(NEXT, 1, True), (b"", 1, False), (NEXT, 2, True)], [(annex_b(NEXT), False, False)] * 2, id="padding"
        ),
        pytest.param(
            [(NEXT, 1, False), (b"", 1, True)], [(annex_b(NEXT), False, False)], id="marker of an empty packet"
        ),
        pytest.param([(NEXT, 1, True), (NEXT, 1, True)], [(annex_b(NEXT), False, False)] * 2, id="constant stamps"),
        # ---- losses
        pytest.param([(NEXT, 1, True), None, (NEXT, 3, True)], [(annex_b(NEXT), False, False), LOST], id="lost frame"),
        pytest.param([(NEXT, 1, False), None, (NEXT, 2, True)], [LOST, LOST], id="lost end"),
        pytest.param([(NEXT, 1, False), None, (NEXT_REST, 1, True)], [LOST], id="lost middle"),
        pytest.param([(SPS, 1, False), None, (KEY, 1, True)], [LOST], id="lost parameter set"),
        pytest.param([(SPS, 1, False), None, (KEY, 2, True), (NEXT, 3, True)], [LOST, (annex_b(NEXT), False, False)],
                     id="lost keyframe"),
        # ---- invalid payloads
        pytest.param([(b"\x18\x00\x09ab", 1, True)], [LOST], id="truncated aggregate"),
        pytest.param([(b"\x18", 1, True)], [LOST], id="empty aggregate"),
        pytest.param([(b"\x18\x00\x00\x00\x01\x41", 1, True)], [LOST], id="empty unit in an aggregate"),
        pytest.param([(b"\x18\x00\x01\x41\x00", 1, True)], [LOST], id="aggregate with half a size"),
        pytest.param([(b"\x5c", 1, True)], [LOST], id="truncated fragment"),
        pytest.param([(b"\x5d\x81\x00\x00a", 1, True)], [LOST], id="interleaved fragment"),
        pytest.param([(b"\x1a\x00\x00", 1, True)], [LOST], id="MTAP"),
        pytest.param([(b"\xc1\x9a", 1, True)], [LOST], id="forbidden bit"),
        pytest.param([(b"\x5c\x81\x9aa", 1, True), (NEXT, 2, True)], [LOST, (annex_b(NEXT), False, False)],
                     id="fragment without end"),
        pytest.param([(b"\x5c\x81\x9aa", 1, True), (b"\x5c\x41b", 1, True)], [(annex_b(b"\x41\x9aab"), False, False)],
                     id="marker within a fragmented unit"),
        pytest.param([(b"\x5c\x41\x9aa", 1, True)], [LOST], id="fragment without beginning"),
        pytest.param([(b"\x5c\x81\x9aa", 1, False), (b"\x5c\x81\x9aa", 1, True)], [LOST], id="beginning twice"),
        pytest.param([(b"\x5c\x81\x9aa", 1, False), (NEXT, 1, True)], [LOST], id="unit within a fragmented one"),
        pytest.param([(b"\x5c\x81\x9aa", 1, False), (NEXT, 2, True)], [LOST, (annex_b(NEXT), False, False)],
                     id="next image within a fragmented unit"),
    ],
)  # fmt: skip
def test_h264(packets, expected):
    assert summary(received(packets)[0]) == expected


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        pytest.param(
            [(aggregate([VPS_5, SPS_5], "hevc"), 1, False), (KEY_5, 1, True), (NEXT_5, 2, True)],
            [(annex_b(VPS_5, SPS_5, KEY_5), True, False), (annex_b(NEXT_5), False, False)],
            id="keyframe and next",
        ),
        pytest.param([(CLEAN_5, 1, True)], [(annex_b(CLEAN_5), True, False)], id="clean random access"),
        pytest.param([(b"\x62\x01", 1, True)], [LOST], id="truncated fragment"),
        pytest.param([(b"\x26", 1, True)], [LOST], id="truncated header"),
        pytest.param([(b"\x60\x01\x00\x01a", 1, True)], [LOST], id="unit without a header in an aggregate"),
        pytest.param([(b"\x64\x01\x00\x00", 1, True)], [LOST], id="PACI"),
    ],
)
def test_h265(packets, expected):
    assert summary(received(packets, codec="hevc")[0]) == expected


def test_markers_after_each_slice_are_noticed():
    """The first image is released too early; from then on, images end with the next one."""
    slices = [(KEY, 1, True), (KEY_REST, 1, True)]
    slices += [one for stamp in (2, 3, 4) for one in ((NEXT, stamp, True), (NEXT_REST, stamp, True))]
    units, depacketizer = received(slices)
    assert not depacketizer.trusts_marker
    assert summary(units) == [
        (annex_b(KEY), True, False),
        LOST,
        (annex_b(NEXT, NEXT_REST), False, False),
        (annex_b(NEXT, NEXT_REST), False, False),
    ]


def test_arrival_is_that_of_the_first_packet():
    unit = b"\x41" + b"\x9a" * 30
    packets = [(part, 5, place == 3) for place, part in enumerate(fragments(unit, 8, "h264"))]
    (found,), _ = received([(NEXT, 4, True), *packets])[0][1:], None
    assert (found.arrived_ns, found.stamp) == (1, 5)


def test_memory_of_a_hostile_stream_is_bounded(monkeypatch):
    monkeypatch.setattr("streamseg.capture.rtsp.depacketizer.LARGEST_BYTES", 100)
    begin, middle = b"\x5c\x81" + bytes(40), b"\x5c\x01" + bytes(40)
    units, _ = received([(begin, 1, False), *[(middle, 1, False)] * 9, (NEXT, 2, True)])
    assert summary(units) == [LOST, (annex_b(NEXT), False, False)]


def unit_of(codec, kind):
    """Strategy of the NAL units of a kind: slices that begin an image, that continue it, and others."""
    heads = {
        "h264": {"first": [b"\x65\x88", b"\x41\x9a", b"\x01\xe0"], "more": [b"\x65\x08"], "other": [b"\x67", b"\x06"]},
        "hevc": {"first": [b"\x26\x01\x80", b"\x02\x01\xff"], "more": [b"\x26\x01\x10"], "other": [b"\x40\x01"]},
    }[codec][kind]  # fmt: skip
    return st.tuples(st.sampled_from(heads), st.binary(max_size=60)).map(b"".join)


@st.composite
def images(draw):
    """Draw a codec and images as lists of NAL units, packed into payloads."""
    codec = draw(st.sampled_from(["h264", "hevc"]))
    found = []
    for _ in range(draw(st.integers(1, 6))):
        others = draw(st.lists(unit_of(codec, "other"), max_size=3))
        units = [*others, draw(unit_of(codec, "first")), *draw(st.lists(unit_of(codec, "more"), max_size=2))]
        num_aggregated = draw(st.integers(0, len(units)))
        packed = payloads(units, codec, size=draw(st.integers(1, 30)), num_aggregated=num_aggregated)
        found.append((units, packed))
    return codec, found


def as_packets(found):
    return [
        (payload, stamp, place == len(packed) - 1)
        for stamp, (_, packed) in enumerate(found)
        for place, payload in enumerate(packed)
    ]


@given(images())
def test_packing_and_assembling_is_the_identity(drawn):
    codec, found = drawn
    units, _ = received(as_packets(found), codec=codec)
    assert [unit.data for unit in units] == [annex_b(*units) for units, _ in found]


@given(images(), st.data())
def test_no_loss_yields_an_image_with_a_hole(drawn, data):
    codec, found = drawn
    packets = as_packets(found)
    lost = data.draw(st.sets(st.integers(1, max(len(packets) - 1, 1))))
    depth = data.draw(st.integers(0, 3))
    kept = [None if place in lost else packet for place, packet in enumerate(packets)]
    order = PacketOrder(depth=depth, longest_ns=10**9)
    whole = {stamp: annex_b(*units) for stamp, (units, _) in enumerate(found)}
    for unit in received(kept, codec=codec, order=order)[0]:
        assert unit.is_damaged == (unit.data == b"")
        assert unit.is_damaged or unit.data == whole[unit.stamp]


@given(st.sampled_from(["h264", "hevc"]), st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 3), st.booleans())))
def test_any_payloads_are_read(codec, packets):
    received(packets, codec=codec)
