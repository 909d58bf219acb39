import socket

import pytest

from streamseg.errors import ConfigError
from streamseg.viewer.access import Access, check_token, is_loopback, new_token

TOKEN = "0123456789abcdef"
READ_TOKEN = "fedcba9876543210"
HERE = Access(TOKEN, "127.0.0.1")
ANYWHERE = Access(TOKEN, "0.0.0.0")


@pytest.mark.parametrize(
    ("access", "header", "is_accepted"),
    [
        pytest.param(HERE, "127.0.0.1:8765", True, id="address"),
        pytest.param(HERE, "localhost:8765", True, id="name"),
        pytest.param(HERE, "LOCALHOST", True, id="capitals-no-port"),
        pytest.param(HERE, "[::1]:8765", True, id="ipv6"),
        pytest.param(HERE, "localhost:9000", True, id="a-tunnel"),
        pytest.param(HERE, "evil.example:8765", False, id="rebound-name"),
        pytest.param(HERE, "localhost.evil.example", False, id="longer-name"),
        pytest.param(HERE, "127.0.0.1.evil.example", False, id="name-that-starts-like-the-address"),
        pytest.param(HERE, "user@evil.example", False, id="with-a-user"),
        pytest.param(HERE, "evil.example@localhost", True, id="a-user-before-an-own-name"),
        pytest.param(HERE, "192.168.1.4:8765", False, id="another-address"),
        pytest.param(HERE, "[::1", False, id="open-bracket"),
        pytest.param(HERE, "", False, id="empty"),
        pytest.param(HERE, None, False, id="missing"),
        pytest.param(ANYWHERE, "192.168.1.4:8765", True, id="public-address"),
        pytest.param(ANYWHERE, f"{socket.gethostname()}:8765", True, id="public-own-name"),
        pytest.param(ANYWHERE, "evil.example", False, id="public-rebound-name"),
        pytest.param(Access(TOKEN, "Robot.local"), "robot.LOCAL:80", True, id="configured-name"),
    ],
)
def test_host(access: Access, header: str | None, is_accepted: bool):
    reason = access.reject_host(header)
    assert (reason is None) == is_accepted
    assert reason is None or "\n" not in reason


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(TOKEN, None, id="right"),
        pytest.param(TOKEN[:-1], "a wrong token", id="shorter"),
        pytest.param(TOKEN + "0", "a wrong token", id="longer"),
        pytest.param("é\udc80" * 8, "a wrong token", id="not-ascii"),
        pytest.param("", "no token", id="empty"),
        pytest.param(None, "no token", id="missing"),
    ],
)
def test_token(token: str | None, reason: str | None):
    rejection = HERE.reject_token(token)
    assert rejection is None if reason is None else rejection is not None and rejection.startswith(reason)


@pytest.mark.parametrize(
    ("read_token", "token", "role"),
    [
        pytest.param(READ_TOKEN, TOKEN, "control", id="control"),
        pytest.param(READ_TOKEN, READ_TOKEN, "read", id="read"),
        pytest.param(READ_TOKEN, READ_TOKEN[:-1], None, id="wrong"),
        pytest.param(None, READ_TOKEN, None, id="no-address-for-reading"),
        pytest.param(None, "", None, id="empty"),
        pytest.param(None, None, None, id="missing"),
    ],
)
def test_role(read_token: str | None, token: str | None, role: str | None):
    access = Access(TOKEN, "127.0.0.1", read_token)
    assert access.role_of(token) == role
    assert (access.reject_token(token) is None) == (role is not None)


@pytest.mark.parametrize(
    ("origin", "host", "is_accepted"),
    [
        pytest.param(None, "localhost:8765", True, id="no-browser"),
        pytest.param("http://localhost:8765", "localhost:8765", True, id="own"),
        pytest.param("https://localhost:8765", "LOCALHOST:8765", True, id="behind-a-proxy-with-tls"),
        pytest.param("http://localhost:3000", "localhost:8765", False, id="another-server-here"),
        pytest.param("http://evil.example", "localhost:8765", False, id="another-site"),
        pytest.param("null", "localhost:8765", False, id="sandboxed"),
        pytest.param("", "", False, id="empty"),
        pytest.param("file://", "", False, id="file-url"),
        pytest.param("http://[", "localhost:8765", False, id="broken"),
    ],
)
def test_origin(origin: str | None, host: str, is_accepted: bool):
    assert (HERE.reject_origin(origin, host) is None) == is_accepted


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool):
    assert is_loopback(host) is expected


def test_generated_tokens_are_valid_and_differ():
    assert check_token(new_token()) != check_token(new_token())


@pytest.mark.parametrize("token", ["", "short", "x" * 129, "with spaces in it!", "änderungsschneider"])
def test_invalid_tokens(token: str):
    with pytest.raises(ConfigError, match="16 to 128 letters"):
        check_token(token)
