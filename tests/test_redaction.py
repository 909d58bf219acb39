"""Secrets of addresses are not shown, whatever the form of the address and the text around it."""

import json
import logging
import string
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamseg.cli.faults import explain
from streamseg.cli.logs import JsonLines, TextLines
from streamseg.errors import SourceError
from streamseg.redaction import redact, redact_text


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
        pytest.param(
            "rtsp://camera:554/user=admin_password=a_b_channel=1_stream=0.sdp",
            "rtsp://camera:554/user=***_password=***_channel=1_stream=0.sdp",
            id="user and password in the path",
        ),
        pytest.param("rtsp://admin:pa", "rtsp://***", id="cut in the password"),
        pytest.param("rtsp://admin:1/2@10.0.0.5/x", "rtsp://***@10.0.0.5/x", id="digits and / in the password"),
        pytest.param("http://camera/user@file.mp4", "http://camera/user@file.mp4", id="@ in a file name"),
        pytest.param("http://camera/v?access_token=abc#x", "http://camera/v?access_token=***#x", id="token"),
    ],
)
def test_redact(url, shown):
    assert redact(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("no address, me@example.org", "no address, me@example.org", id="no address"),
        pytest.param("lost rtsp://u:pw@cam/1: timeout", "lost rtsp://***@cam/1: timeout", id="in a sentence"),
        pytest.param("'rtsp://u:pw@cam/1' failed", "'rtsp://***@cam/1' failed", id="in quotes"),
        pytest.param("rtsp://cam/1 and rtsp://u:pw@cam/2", "rtsp://cam/1 and rtsp://***@cam/2", id="second one"),
        pytest.param("rtsp://u:a b@cam/1 failed", "rtsp://***@cam/1 failed", id="space in the password"),
        pytest.param('rtsp://u:a"b@cam/1 failed', "rtsp://***@cam/1 failed", id="quote in the password"),
        pytest.param("rtsp://u:a://b@cam/1 failed", "rtsp://***@cam/1 failed", id="scheme in the password"),
        pytest.param("http://proxy/rtsp://u:pw@cam/1", "http://***@cam/1", id="address in an address"),
        pytest.param("use tcp://h:1, or ipc://x.", "use tcp://h:1, or ipc://x.", id="punctuation of the sentence"),
        pytest.param("tcp://1.2.3.4:5: in use", "tcp://1.2.3.4:5: in use", id="colon after a port"),
        pytest.param("rtsp://u:p1: w@cam:5: lost", "rtsp://***@cam:5: lost", id="colon and space in the password"),
        pytest.param("rtsp://admin: pw", "rtsp://*** pw", id="colon after what may be a user"),
        pytest.param("(rtsp://u:p,w@cam:5); end", "(rtsp://***@cam:5); end", id="punctuation of both"),
        pytest.param("rtsp://u:p, w@cam/1; end", "rtsp://***@cam/1; end", id="comma and space in the password"),
        pytest.param("rtsp://u:pw, lost", "rtsp://***, lost", id="cut in the password, then punctuation"),
        pytest.param("first\nrtsp://u:pw@cam/1", "first\nrtsp://***@cam/1", id="second line"),
        pytest.param("page http://h/?token=abc now", "page http://h/?token=*** now", id="token"),
        pytest.param("url=rtsp://u:pw@cam", "url=rtsp://***@cam", id="after an equals sign"),
    ],
)  # fmt: skip
def test_redact_text(text: str, shown: str):
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


# ---- properties over forms of addresses

MARK = "S3CRET"
"""Both ends of each password: neither may be shown."""
SCHEMES = st.sampled_from(["rtsp", "rtsps", "http", "https", "rtmp", "RTSP", "srt", "udp"])
HOSTS = st.sampled_from(["camera", "camera.local", "10.0.0.5", "[fe80::1]", "localhost", "a-b.example.org"])
PORTS = st.sampled_from(["", ":554", ":8554"])
PATHS = st.sampled_from(["", "/", "/live", "/h264/ch1/main/av_stream", "/live?fps=5", "/a/b.sdp#t=1"])
PRINTABLE = "".join(character for character in string.printable if character.isprintable())
RAW = st.text(PRINTABLE, max_size=10).map(lambda text: f"{MARK}{text}{MARK}")
"""Passwords as they are typed: unescaped, with any character of a keyboard, also spaces and quotes."""
ESCAPED = st.text(max_size=10).map(lambda text: MARK + quote(text, safe="") + MARK)
NAMES = st.sampled_from(
    ["password", "pwd", "pass", "token", "access_token", "api_key", "Signature", "auth", "PASSWORD"]
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Addresses of cameras, each with a secret."""
    start, place = f"{draw(SCHEMES)}://", draw(HOSTS) + draw(PORTS)
    path = draw(PATHS)
    form = draw(st.sampled_from(["raw", "escaped", "user", "query", "later parameter", "path", "both"]))
    match form:
        case "raw":
            return f"{start}admin:{draw(RAW)}@{place}{path}"
        case "escaped":
            return f"{start}{draw(ESCAPED)}:{draw(ESCAPED)}@{place}{path}"
        case "user":
            return f"{start}{draw(ESCAPED)}@{place}{path}"
        case "query":
            return f"{start}{place}/v?{draw(NAMES)}={draw(ESCAPED)}"
        case "later parameter":
            return f"{start}{place}/v?channel=1&{draw(NAMES)}={draw(ESCAPED)}&stream=0"
        case "path":
            return f"{start}{place}/user=admin_password={draw(ESCAPED)}_channel=1_stream=0.sdp"
        case _:
            return f"{start}admin:{draw(ESCAPED)}@{place}/v?{draw(NAMES)}={draw(ESCAPED)}"


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(url=addresses())
def test_no_secret_in_an_address(url: str):
    assert MARK not in redact(url)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    before=st.sampled_from(["", "cannot open ", "'", '"', "[", "(", "url=", "first\n", "http://other/1 and "]),
    url=addresses(),
    after=st.sampled_from(["", ": timed out", "' failed", '"', "), retrying", "\nnext line", " http://other/1"]),
)
def test_no_secret_in_a_log(before: str, url: str, after: str):
    text = before + url + after
    record = logging.LogRecord("streamseg.capture", logging.WARNING, "x.py", 1, "%s", (text,), None)
    error = OSError(5, text, url)
    failed = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", (), (OSError, error, None))
    for formatter in (TextLines(), JsonLines()):
        assert MARK not in formatter.format(record)
        assert MARK not in formatter.format(failed)
    assert json.loads(JsonLines().format(record))["level"] == "warning"
    assert MARK not in (explain(error) or "")


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(url=addresses())
def test_redaction_is_stable(url: str):
    once = redact_text(url)
    assert redact_text(once) == once


@given(st.text())
def test_texts_without_addresses_are_unchanged(text: str):
    assume("://" not in text)
    assert redact_text(text) == text


@given(scheme=SCHEMES, host=HOSTS, port=PORTS, path=PATHS)
def test_addresses_without_secrets_are_unchanged(scheme: str, host: str, port: str, path: str):
    assert redact_text(f"open {scheme}://{host}{port}{path} now") == f"open {scheme}://{host}{port}{path} now"


def test_errors_of_streamseg_are_printed_without_secrets(capsys: pytest.CaptureFixture[str]):
    from streamseg.cli.logs import print_error

    for log_format in ("text", "json"):
        print_error(str(SourceError("rtsp://u:S3CRET@cam: lost")), log_format)
    assert "S3CRET" not in capsys.readouterr().err
