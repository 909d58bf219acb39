"""Addresses of sources: parsing, and redaction for display."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

__all__ = ["is_network", "local_path", "redact", "scheme_of"]

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d+)?")
_SECRET_PARAMETER = re.compile(
    r"([?&;][^=&;#]*(?:pass|pwd|token|secret|key|auth|sign|user|login)[^=&;#]*=)[^&;#]*", re.IGNORECASE
)


def scheme_of(url: str) -> str:
    """Return the scheme in lower case; "" for a path."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def is_network(url: str) -> bool:
    """Return whether an address must be read over a network."""
    return scheme_of(url) not in ("", "file")


def local_path(url: str) -> Path:
    """Return the file named by a path or a `file://` address."""
    return Path(unquote(url[len("file://") :])) if scheme_of(url) == "file" else Path(url)


def redact(url: str) -> str:
    """Replace the user, password and secret parameters of an address with `***`.

    Real passwords contain characters that should have been escaped. If it is unclear where one ends,
    hide too much rather than too little.
    """
    match = _SCHEME.match(url)
    if match is None:
        return url
    rest = url[match.end() :]
    authority, _, path = rest.partition("/")
    # A slash in a password ends the authority early: the remainder is not a valid host and port.
    cut_short = "@" in path and not _HOST_AND_PORT.fullmatch(authority)
    if "@" in authority or cut_short:
        rest = "***@" + rest.rpartition("@")[2]
    return match[0] + _SECRET_PARAMETER.sub(r"\1***", rest)
