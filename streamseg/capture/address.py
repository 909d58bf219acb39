"""What a source's address says, and how to show it without its password."""

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
    """The scheme in small letters; "" for a path."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def is_network(url: str) -> bool:
    """Whether an address is to be read over a network."""
    return scheme_of(url) not in ("", "file")


def local_path(url: str) -> Path:
    """The file that a path or a `file://` address names."""
    return Path(unquote(url[len("file://") :])) if scheme_of(url) == "file" else Path(url)


def redact(url: str) -> str:
    """An address that may be shown: `***` in place of user, password and secret parameters.

    Passwords in the wild hold characters that they should not; where it is unclear how far one
    reaches, too much is hidden rather than too little.
    """
    match = _SCHEME.match(url)
    if match is None:
        return url
    rest = url[match.end() :]
    authority, _, path = rest.partition("/")
    # Slashes in a password end the authority early: what is left of it is no host and port.
    cut_short = "@" in path and not _HOST_AND_PORT.fullmatch(authority)
    if "@" in authority or cut_short:
        rest = "***@" + rest.rpartition("@")[2]
    return match[0] + _SECRET_PARAMETER.sub(r"\1***", rest)
