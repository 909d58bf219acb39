"""Time stamps of packets of live streams."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.live_packet import Arrival, LivePacket


def live(pts: int | None, dts: int | None, time_base: Fraction | None) -> LivePacket:
    packet = av.Packet(b"\x00")
    packet.pts, packet.dts = pts, dts
    if time_base is not None:
        packet.time_base = time_base
    return LivePacket(packet, Arrival(None, 0, 0), 0)


@given(stamp=st.integers(-(2**62), 2**62), base=st.sampled_from([Fraction(1, 90_000), Fraction(1, 30), Fraction(3, 7)]))
def test_stamp_is_the_nearest_number_of_seconds(stamp, base):
    assert live(stamp, None, base).stamp_seconds == float(stamp * base)


@pytest.mark.parametrize(
    ("pts", "dts", "base", "seconds"),
    [
        pytest.param(90_000, None, Fraction(1, 90_000), 1.0, id="presentation order only"),
        pytest.param(90_000, 45_000, Fraction(1, 90_000), 0.5, id="decoding order comes first"),
        pytest.param(None, None, Fraction(1, 90_000), None, id="no stamp"),
        pytest.param(90_000, None, None, None, id="no time base"),
    ],
)
def test_stamp(pts, dts, base, seconds):
    assert live(pts, dts, base).stamp_seconds == seconds
