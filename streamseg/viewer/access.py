"""Access control: a request needs a token, this server's own page as origin, and one of this server's host names.

The token decides the role: `control` may do everything, `read` may only watch.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from streamseg.errors import ConfigError, PublishError
from streamseg.publish.endpoints import is_loopback

__all__ = ["Access", "Role", "check_host", "check_token", "new_token"]

Role = Literal["read", "control"]

LOOPBACK_NAME: Final = "localhost"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


def new_token() -> str:
    """Return an unguessable token: 128 random bits."""
    return secrets.token_urlsafe(16)


def check_token(token: str) -> str:
    """Return the token; raises ConfigError if it is too short or would have to be escaped in a URL."""
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"a page's token has 16 to 128 letters, digits, '-' and '_', got {len(token)} characters;"
            " omit it to have one generated"
        )
    return token


def check_host(host: str, *, allow_public: bool) -> None:
    """Check that a page on this host is meant to be reachable.

    Raises:
        PublishError: other machines can reach it, without `allow_public`.
    """
    if not allow_public and not is_loopback(host):
        raise PublishError(
            f"a page at {host} can be reached from other machines, without encryption: use 127.0.0.1,"
            " or set viewer.allow_public"
        )


@dataclass(frozen=True)
class Access:
    """Requirements for a request.

    Each method returns the reason for a rejection, in one line, or None. The port is not compared, because
    a tunnel may use another port at its near end.
    """

    token: str
    """Token of the role `control`."""
    host: str
    """Host on which the server listens."""
    read_token: str | None = None
    """Token of the role `read`; None: there is no such address."""

    def reject_host(self, header: str | None) -> str | None:
        """Check the Host header: a foreign name that was pointed at this machine must not open the page.

        Addresses are accepted if the server listens beyond loopback, because only names can be pointed elsewhere.
        """
        name = _host_name(header)
        address = _address(name)
        if is_loopback(self.host):
            is_own = is_loopback(name)
        else:
            is_own = address is not None or name in (LOOPBACK_NAME, self.host.lower(), socket.gethostname().lower())
        return None if is_own else f"the host {(header or '')[:80]!r} is not this server's; use the address it printed"

    def role_of(self, token: str | None) -> Role | None:
        """Return the role of a token, None if it is wrong; in constant time, so that timing reveals nothing."""
        given = (token or "").encode("utf-8", "replace")
        may_control = secrets.compare_digest(given, self.token.encode())
        may_read = self.read_token is not None and secrets.compare_digest(given, self.read_token.encode())
        return "control" if may_control else "read" if may_read else None

    def reject_token(self, token: str | None) -> str | None:
        """Check the token of the query."""
        if self.role_of(token) is not None:
            return None
        return f"{'a wrong' if token else 'no'} token; open the address that streamseg printed, with its ?token="

    def reject_origin(self, origin: str | None, host_header: str | None) -> str | None:
        """Check the Origin header, which browsers send with a WebSocket: a script of another site must not open one."""
        if origin is None:
            return None
        try:
            parts = urlsplit(origin)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.netloc.lower() == (host_header or "").lower() != "":
            return None
        return f"the origin {origin[:80]!r} is not this server's page"


def _host_name(header: str | None) -> str:
    """Return the host in lower case, without port and brackets; "" if there is none."""
    try:
        return urlsplit(f"//{header or ''}").hostname or ""
    except ValueError:
        return ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
