"""Addresses of sources: parsing and checks."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from streamseg.errors import ConfigError
from streamseg.redaction import HOST_AND_PORT, HOST_LIKE, SCHEME, redact

__all__ = ["address_fault", "is_network", "local_path", "scheme_of", "split_host_and_port"]

_CONNECTING = frozenset({"rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "tls"})
"""Schemes whose addresses must name a host."""
_UNSAFE = "#?/[]@ "
"""Characters that end or divide the user and password of an address, unless they are percent-encoded."""

_NAMES = {" ": "a space"}


def scheme_of(url: str) -> str:
    """Return the scheme in lower case; "" for a path."""
    match = SCHEME.match(url)
    return match[1].lower() if match else ""


def is_network(url: str) -> bool:
    """Return whether an address must be read over a network."""
    return scheme_of(url) not in ("", "file")


def local_path(url: str) -> Path:
    """Return the file named by a path or a `file://` address."""
    return Path(unquote(url[len("file://") :])) if scheme_of(url) == "file" else Path(url)


def split_host_and_port(text: str) -> tuple[str, int]:
    """Return the host, without brackets, and the port of `HOST:PORT` or `[IPv6]:PORT`.

    Raises:
        ConfigError: it is neither, or the port exceeds 65535.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s\[\]:/@]+)):(?P<port>\d{1,5})", text)
    if match is None or int(match["port"]) > 65535:
        raise ConfigError(f"{text[:100]!r} is not HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:9464")
    return match["v6"] or match["host"], int(match["port"])


def address_fault(url: str) -> str | None:
    """Return why an address of a network stream cannot be opened, in one line without secrets; None if it can.

    FFmpeg ends the part with user, password, host and port at the first `/`, `?` or `#`, and the user and password at
    the last `@` in that part. An unencoded character of a password thus moves the host.
    """
    scheme = scheme_of(url)
    if scheme not in _CONNECTING:
        return None
    rest = url.partition("://")[2]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    end = rest[len(authority) :][:1]
    _, at, host = authority.rpartition("@")
    is_valid = HOST_AND_PORT.fullmatch(host) is not None
    if "@" in rest[len(authority) :] and (
        not is_valid
        or end == "#"
        or (not at and end == "?" and scheme.startswith("rt") and HOST_LIKE.match(rest.rpartition("@")[2]))
    ):
        return _password_fault(url, rest)
    name, colon, port = host.rpartition(":") if re.search(r":[^\]]*$", host) else (host, "", "")
    if not name:
        return f"{redact(url)} names no host; write {scheme}://192.168.1.20:554/path"
    if not is_valid or re.search(r"\s", host):
        return (
            f"{redact(url)} names no valid host and port; write {scheme}://user:password@192.168.1.20:554/path, and in "
            "YAML quote an address that contains ' #'"
        )
    if colon and not (len(port) <= 5 and 1 <= int(port) <= 65535):
        return f"{redact(url)} has port {port[:12]}; use a port from 1 to 65535"
    return None


def _password_fault(url: str, rest: str) -> str:
    """Return the message about the unencoded characters of a user and a password.

    Args:
        url: the whole address.
        rest: the address without its scheme; it contains an `@`.
    """
    ends = [match.start() for match in re.finditer("@", rest)]
    end = max((end for end in ends if HOST_LIKE.match(rest, end + 1)), default=ends[-1])
    found = [character for character in _UNSAFE if character in rest[:end]]
    encoded = ", ".join(f"%{ord(character):02X} for {_NAMES.get(character, character)}" for character in found)
    return f"{redact(url)}: the user or password contains characters that end an address; write {encoded}"
