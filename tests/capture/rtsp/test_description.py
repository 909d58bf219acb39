"""Session descriptions of cameras."""

import pytest

from streamseg.capture.rtsp.description import UnsupportedStreamError, VideoTrack, control_url, parse_description
from streamseg.errors import SourceError

BASE = "rtsp://camera/live/"


def described(*media, session="a=control:*"):
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=camera", "t=0 0", session, *media]
    return parse_description("\r\n".join(lines) + "\r\n", BASE, name="rtsp://***@camera")


def video(encoding="H264/90000", fmtp="", control="track1", number=96):
    lines = [f"m=video 0 RTP/AVP {number}", f"a=rtpmap:{number} {encoding}", f"a=control:{control}"]
    return "\n".join(lines + ([f"a=fmtp:{number} {fmtp}"] if fmtp else []))


AUDIO = "m=audio 0 RTP/AVP 8\na=control:audio"
PLAIN = VideoTrack("h264", 96, 90000, BASE + "track1", BASE, ())


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        pytest.param([video()], PLAIN, id="h264"),
        pytest.param([AUDIO, video(), video("H265/90000")], PLAIN, id="first video"),
        pytest.param([video("h264/90000/1")], PLAIN, id="case, number of channels"),
        pytest.param(
            [video("H265/90000", "sprop-vps=QAE=; sprop-sps=QgE=;sprop-pps=RAE=")],
            VideoTrack("hevc", 96, 90000, BASE + "track1", BASE, (b"\x40\x01", b"\x42\x01", b"\x44\x01")),
            id="h265",
        ),
        pytest.param(
            [video(fmtp="packetization-mode=1;sprop-parameter-sets=Z0I=,aM4=")],
            VideoTrack("h264", 96, 90000, BASE + "track1", BASE, (b"\x67\x42", b"\x68\xce")),
            id="parameter sets",
        ),
        pytest.param([video(fmtp="sprop-parameter-sets=@@,aM4=")],
                     VideoTrack("h264", 96, 90000, BASE + "track1", BASE, (b"\x68\xce",)), id="damaged parameter set"),
        pytest.param([video(control="rtsp://other/x")], VideoTrack("h264", 96, 90000, "rtsp://other/x", BASE, ()),
                     id="absolute control"),
    ],
)  # fmt: skip
def test_track(media, expected):
    assert described(*media) == expected


@pytest.mark.parametrize(
    "media",
    [
        pytest.param("m=video 0 RTP/AVP 26", id="jpeg, static type"),
        pytest.param(video("MP4V-ES/90000"), id="mpeg4"),
        pytest.param(video("H264/0"), id="clock rate 0"),
        pytest.param(video("H264"), id="no clock rate"),
        pytest.param(video(fmtp="packetization-mode=2"), id="interleaved units"),
        pytest.param(video("H265/90000", "sprop-max-don-diff=1"), id="decoding order numbers"),
        pytest.param("m=video", id="truncated"),
    ],
)
def test_video_for_ffmpeg(media):
    with pytest.raises(UnsupportedStreamError):
        described(media)


@pytest.mark.parametrize(
    ("media", "found"),
    [pytest.param([AUDIO], "only audio", id="audio"), pytest.param([], "only nothing", id="empty")],
)
def test_no_video(media, found):
    with pytest.raises(SourceError, match=rf"rtsp://\*\*\*@camera contains no video, {found}"):
        described(*media)


@pytest.mark.parametrize(
    ("base", "control", "expected"),
    [
        pytest.param("rtsp://a/b/", "track1", "rtsp://a/b/track1", id="with slash"),
        pytest.param("rtsp://a/b", "/track1", "rtsp://a/b/track1", id="without slash"),
        pytest.param("rtsp://a/b?c=1&d=0", "trackID=0", "rtsp://a/b?c=1&d=0/trackID=0", id="query"),
        pytest.param("rtsp://a/b/", "*", "rtsp://a/b/", id="aggregate"),
        pytest.param("rtsp://a/b/", "", "rtsp://a/b/", id="absent"),
        pytest.param("rtsp://a/b/", "rtsp://c/d", "rtsp://c/d", id="absolute"),
    ],
)
def test_control_url(base, control, expected):
    assert control_url(base, control) == expected


def test_session_control():
    assert described(video(), session="a=control:rtsp://camera/all").session_url == "rtsp://camera/all"
