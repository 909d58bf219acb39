"""Options of FFmpeg's demuxers for live streams."""

import pytest

from streamseg.capture.demuxer import stream_options


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        pytest.param(
            "rtsp", {"timeout": "2500000", "rtsp_transport": "tcp", "allowed_media_types": "video"}, id="rtsp"
        ),
        pytest.param("udp", {"timeout": "2500000"}, id="udp"),
        pytest.param("http", {"rw_timeout": "2500000"}, id="http"),
        pytest.param("rtmp", {"rw_timeout": "2500000"}, id="rtmp"),
    ],
)
def test_time_outs_are_in_microseconds(scheme, expected):
    options = stream_options(scheme, 2.5)
    assert options is not None
    assert expected.items() <= options.items()


def test_unknown_protocol_has_no_time_out_of_its_own():
    assert stream_options("ftp", 2.5) is None


@pytest.mark.parametrize(("transport", "expected"), [("auto", "tcp"), ("tcp", "tcp"), ("udp", "udp")])
def test_transport_of_rtsp(transport, expected):
    options = stream_options("rtsps", 1.0, transport=transport)
    assert options is not None
    assert options["rtsp_transport"] == expected
