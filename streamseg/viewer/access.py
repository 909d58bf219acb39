"""Who may see the page: whoever knows the token, from this server's own page, under a name that is ours."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from streamseg.errors import ConfigError

__all__ = ["Access", "check_token", "is_loopback", "new_token"]

LOOPBACK_NAME: Final = "localhost"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


def new_token() -> str:
    """A token that nobody guesses: 128 random bits."""
    return secrets.token_urlsafe(16)


def check_token(token: str) -> str:
    """The token itself; raises ConfigError where it is too short, or would have to be escaped in an address."""
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"a page's token has 16 to 128 letters, digits, '-' and '_', got {len(token)} characters;"
            " leave it out to have one made"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether a host to listen at can be reached from this machine alone."""
    address = _address(host)
    return host == LOOPBACK_NAME if address is None else address.is_loopback


@dataclass(frozen=True)
class Access:
    """What a request must bring.

    Each method returns why it is refused, in one line, or None. The port is not compared: a tunnel may
    have another at its near end.
    """

    token: str
    host: str
    """That the server listens at."""

    def refuses_host(self, header: str | None) -> str | None:
        """Of the Host header: a name that somebody else pointed at this machine must not open the page.

        Addresses are let in where the server listens beyond loopback, for only names can be pointed elsewhere.
        """
        name = _host_name(header)
        address = _address(name)
        if is_loopback(self.host):
            is_ours = is_loopback(name)
        else:
            is_ours = address is not None or name in (LOOPBACK_NAME, self.host.lower(), socket.gethostname().lower())
        return None if is_ours else f"the host {(header or '')[:80]!r} is not this server's; use the address it printed"

    def refuses_token(self, token: str | None) -> str | None:
        """Of the query; compared in a time that tells nothing about the right one."""
        if secrets.compare_digest((token or "").encode("utf-8", "replace"), self.token.encode()):
            return None
        return f"{'a wrong' if token else 'no'} token; open the address that streamseg printed, with its ?token="

    def refuses_origin(self, origin: str | None, host_header: str | None) -> str | None:
        """Of the Origin header, that browsers send with a WebSocket: another site's script must not open one."""
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
    """The host without its port, brackets and case; "" where there is none."""
    try:
        return urlsplit(f"//{header or ''}").hostname or ""
    except ValueError:
        return ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
