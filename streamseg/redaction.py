"""Remove secrets from addresses, and from texts that contain addresses, before they are shown.

Real passwords contain characters that should have been escaped. If it is unclear where one ends, hide too much rather
than too little. Needs the standard library only.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HOST_AND_PORT", "HOST_LIKE", "SCHEME", "redact", "redact_text"]

SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d+)?")
HOST_LIKE: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|localhost|\d+(\.\d+){3}|[\w-]+(\.[\w-]+)+)(:\d+)?(?=[/?#]|$)")

_SECRET_PARAMETER = re.compile(
    r"([?&;][^=&;#]*(?:pass|pwd|token|secret|key|auth|sign|user|usr|login|credential)[^=&;#]*=)[^&;#]*", re.IGNORECASE
)
_SECRET_IN_PATH = re.compile(
    r"([/_](?:user|username|usr|pass|password|passwd|pwd|login)=)(?:(?!_[A-Za-z]+=)[^&;#])*", re.IGNORECASE
)
_START = re.compile(r"(?<![A-Za-z0-9+.:/@_-])[A-Za-z][A-Za-z0-9+.-]*://")
"""Start of an address in a text: not within another one."""
_END = re.compile(r"[,;.)]*(?=\s|$)|(?<=\d):(?=\s|$)|['\"<>]")
"""End of an address: punctuation before a space, or at the end of the text, belongs to the sentence. A colon does so
after a port or an IP address only; a password may begin after another one."""


def redact(url: str) -> str:
    """Replace the user, password and secret parameters of an address with `***`; a path is unchanged."""
    match = SCHEME.match(url)
    if match is None:
        return url
    rest = url[match.end() :]
    authority, slash, path = rest.partition("/")
    host = re.split("[?#]", authority)[0]
    # A slash in a password ends the authority early: the remainder is not a valid host and port, or a host follows.
    # Or the path is the address of another server.
    cut_short = "@" in path and (
        not HOST_AND_PORT.fullmatch(authority)
        or "://" in path
        or (":" in rest.rpartition("@")[0] and HOST_LIKE.match(rest.rpartition("@")[2]) is not None)
    )
    if "@" in authority or cut_short:
        rest = "***@" + rest.rpartition("@")[2]
    elif not HOST_AND_PORT.fullmatch(host):  # the start of a user and a password
        rest = f"***{slash}{path}"
    rest = _SECRET_IN_PATH.sub(r"\1***", rest)
    return match[0] + _SECRET_PARAMETER.sub(r"\1***", rest)


def redact_text(text: str) -> str:
    """Redact every address in a text of any number of lines, such as a log record or the message of a library."""
    if "://" not in text:
        return text
    return "\n".join(_redact_line(line) for line in text.split("\n"))


def _redact_line(line: str) -> str:
    starts = [match.start() for match in _START.finditer(line)]
    if not starts:
        return line
    parts = [line[: starts[0]]]
    for start, stop in zip(starts, [*starts[1:], len(line)], strict=True):
        found = line[start:stop]
        # A password may contain spaces and quotes: the address ends after the host that follows the last @.
        end = _END.search(found, found.rfind("@") + 1)
        cut = len(found) if end is None else end.start()
        parts += [redact(found[:cut]), found[cut:]]
    return "".join(parts)
