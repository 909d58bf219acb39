from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config.address import address_fault, is_network, local_path, scheme_of
from streamseg.redaction import redact_text


@pytest.mark.parametrize(
    ("url", "scheme", "network"),
    [
        pytest.param("rtsp://camera/1", "rtsp", True, id="rtsp"),
        pytest.param("RTSP://camera/1", "rtsp", True, id="upper case"),
        pytest.param("file:///tmp/a.mp4", "file", False, id="file"),
        pytest.param("/tmp/a.mp4", "", False, id="absolute path"),
        pytest.param("a:b.mp4", "", False, id="colon in a name"),
        pytest.param("C:\\videos\\a.mp4", "", False, id="drive letter"),
    ],
)
def test_scheme(url, scheme, network):
    assert scheme_of(url) == scheme
    assert is_network(url) is network


@pytest.mark.parametrize(
    ("url", "path"),
    [
        pytest.param("video.mp4", "video.mp4", id="path"),
        pytest.param("file:///tmp/my%20video.mp4", "/tmp/my video.mp4", id="file address"),
        pytest.param("100%.mp4", "100%.mp4", id="a path is not decoded"),
    ],
)
def test_local_path(url, path):
    assert local_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        pytest.param("rtsp://admin:pa#1@127.0.0.1:8599/cam", "%23 for #", id="number sign"),
        pytest.param("rtsp://admin:123#4@camera/h264", "%23 for #", id="number sign after digits"),
        pytest.param("rtsp://admin:pa?1@camera/h264", "%3F for ?", id="question mark"),
        pytest.param("rtsp://admin:12?1@10.0.0.5/h264", "%3F for ?", id="question mark after digits"),
        pytest.param("rtsp://admin:pa/1@camera/h264", "%2F for /", id="slash"),
        pytest.param("rtsp://adm#in:pa@camera/h264", "%23 for #", id="user"),
        pytest.param("rtsp://admin:#@camera/h264", "%23 for #", id="first character"),
        pytest.param("RTSP://admin:p#@camera/h264", "%23 for #", id="upper case"),
        pytest.param("http://admin:p#s/s?s@camera/mjpg", "%23 for #, %3F for ?, %2F for /", id="several"),
        pytest.param("rtsp://admin:p@s#s@10.0.0.5/u@1", "%23 for #, %40 for @", id="at sign in password and path"),
        pytest.param("rtmp://admin:p s#@camera/live", "%23 for #, %20 for a space", id="space"),
    ],
)
def test_unencoded_characters_of_a_password_are_named(url, advice):
    fault = address_fault(url)
    assert fault is not None
    assert fault.endswith(f"; write {advice}")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param("rtsp://admin:pa", "names no valid host and port", id="cut before the host"),
        pytest.param("rtsp://camera:port/h264", "names no valid host and port", id="port in letters"),
        pytest.param("rtsp://my camera/h264", "names no valid host and port", id="space in the host"),
        pytest.param("rtsp://fe80::1/h264", "names no valid host and port", id="IPv6 without brackets"),
        pytest.param("rtsp://camera:99999/h264", "use a port from 1 to 65535", id="port too large"),
        pytest.param("rtsp://camera:0/h264", "use a port from 1 to 65535", id="port 0"),
        pytest.param("rtsp://", "names no host", id="nothing"),
        pytest.param("rtsp:///h264", "names no host", id="path only"),
        pytest.param("rtsp://admin:pw@:554/h264", "names no host", id="no host after the password"),
    ],
)
def test_faults_of_an_address(url, text):
    fault = address_fault(url)
    assert fault is not None
    assert text in fault
    assert "pw" not in fault
    assert "write" not in fault or "192.168.1.20:554/path" in redact_text(fault), "the log shows the example"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("rtsp://camera", id="host"),
        pytest.param("rtsp://camera:554/user@1", id="@ in the path"),
        pytest.param("rtsp://camera:554?user@1", id="@ in the query"),
        pytest.param("rtsp://proxy:8554/cam@192.168.1.5", id="address in the path"),
        pytest.param("rtsp://admin:p@s:s@camera/live", id="@ and : in the password"),
        pytest.param("rtsp://admin:50%@camera/live", id="% in the password"),
        pytest.param("rtsp://admin:pa%231@camera/live", id="encoded password"),
        pytest.param("rtsp://ädmin:pässwort@camera/live", id="letters beyond ASCII"),
        pytest.param("rtsp://[fe80::1]:554/h264", id="IPv6"),
        pytest.param("http://host?user=a@b.example/x", id="@ in a query of HTTP"),
        pytest.param("http://host/a.mp4#t=10@x", id="fragment"),
        pytest.param("udp://@239.0.0.1:1234", id="multicast"),
        pytest.param("srt://:9000?mode=listener", id="listener"),
        pytest.param("clips/a #1@home:x.mp4", id="path"),
        pytest.param("file:///tmp/a#b@c.mp4", id="file address"),
    ],
)
def test_addresses_without_fault(url):
    assert address_fault(url) is None


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12))
def test_a_percent_encoded_password_has_no_fault(password):
    assert address_fault(f"rtsp://admin:{quote(password, safe='')}@camera.local:554/live") is None


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@"), max_size=8),
    st.sampled_from("#?/"),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8),
)
def test_a_fault_never_shows_the_password(first, end, second):
    fault = address_fault(f"rtsp://admin:SECRET{first}{end}{second}SECRET@camera.local/live")
    assert fault is not None
    assert "SECRET" not in fault
    assert len(fault.splitlines()) == 1
