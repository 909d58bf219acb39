"""Access control: a request needs the token, this server's own page as origin, and one of this server's host names."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from streamseg.errors import ConfigError, PublishError
from streamseg.publish.endpoints import is_loopback

__all__ = ["Access", "check_host", "check_token", "new_token"]

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
    host: str
    """Host on which the server listens."""

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

    def reject_token(self, token: str | None) -> str | None:
        """Check the token of the query, in constant time, so that timing reveals nothing about the right one."""
        if secrets.compare_digest((token or "").encode("utf-8", "replace"), self.token.encode()):
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
