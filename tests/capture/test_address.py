from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.capture.address import is_network, local_path, redact, scheme_of


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
    ("url", "shown"),
    [
        pytest.param("video.mp4", "video.mp4", id="path"),
        pytest.param("rtsp://camera:554/live", "rtsp://camera:554/live", id="nothing to hide"),
        pytest.param("rtsp://admin:secret@camera/live", "rtsp://***@camera/live", id="user and password"),
        pytest.param("rtsp://admin@camera/live", "rtsp://***@camera/live", id="user only"),
        pytest.param("rtsp://admin:p@ss@camera/live", "rtsp://***@camera/live", id="@ in the password"),
        pytest.param("rtsp://admin:p#s?s@camera/live", "rtsp://***@camera/live", id="# and ? in the password"),
        pytest.param("rtsp://admin:p/ss@camera/live", "rtsp://***@camera/live", id="/ in the password"),
        pytest.param("rtsp://admin:p:/s@camera/live", "rtsp://***@camera/live", id=": and / in the password"),
        pytest.param("rtsp://admin:p@s/s@camera/live", "rtsp://***@camera/live", id="@ and / in the password"),
        pytest.param("rtsp://admin:pass@camera/user@1", "rtsp://***@1", id="ambiguous: hide too much"),
        pytest.param("rtsp://camera:554/user@1", "rtsp://camera:554/user@1", id="@ in the path"),
        pytest.param("rtsp://[::1]/user@1", "rtsp://[::1]/user@1", id="@ in the path, IPv6"),
        pytest.param(
            "http://camera/v?user=a&password=b&channel=1", "http://camera/v?user=***&password=***&channel=1", id="query"
        ),
        pytest.param("http://camera/v?access_token=abc#x", "http://camera/v?access_token=***#x", id="token"),
    ],
)
def test_redact(url, shown):
    assert redact(url) == shown


@pytest.mark.slow
@settings(max_examples=500)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=12))
def test_password_is_never_shown(password):
    hidden = f"SECRET{password}SECRET"
    assert "SECRET" not in redact(f"rtsp://admin:{hidden}@camera.local/live")
